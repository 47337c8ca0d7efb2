"""Training state on disk: written whole or not at all."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from supervision.paths import written_whole

FORMAT = 2


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used, and why."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state as one file: a reader never sees half of it."""
    with written_whole(path) as file:
        torch.save({"format": FORMAT} | state, file)


def load_checkpoint(path: Path, *, identity: Mapping[str, str]) -> dict[str, Any]:
    """Read a checkpoint without unpickling code, if it was made by the same training.

    ``identity`` names everything that must not change between start and resume.
    Raises CheckpointError where the file is missing, damaged or of another training; the message
    names what differs.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at its checksums
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a checksum is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both raise many types on a damaged file
        raise CheckpointError(f"The checkpoint {path} is damaged and cannot be read.") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this version of the project.")
    theirs, ours = state.get("identity", {}), dict(identity)
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise CheckpointError(
                f"The checkpoint {path} is of another training: its {name} is "
                f"{theirs.get(name, 'not set')}, here it is {ours.get(name, 'not set')}."
            )
    return state
