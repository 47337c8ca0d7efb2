"""Training state on disk: written whole or not at all."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used, and why."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary name, flush to disk, rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            torch.save({"format": FORMAT} | state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path, *, fingerprint: str) -> dict[str, Any]:
    """Read a checkpoint without unpickling code, if it was made by the same configuration.

    ``fingerprint`` is a hash of everything that must not change between start and resume.
    Raises CheckpointError where the file is missing, damaged or of another configuration.
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
    if state.get("fingerprint") != fingerprint:
        raise CheckpointError(
            f"The checkpoint {path} belongs to another configuration, data set, split or weights."
        )
    return state
