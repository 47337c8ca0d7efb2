"""Training state on disk: written whole or not at all, and never without the state before it."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from supervision.runtime.errors import ExpectedError
from supervision.runtime.files import PARTIAL_SUFFIX, atomic_write

FORMAT = 4
LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"
FINISHED = "finished"  # an empty file: the training has ended
PARTIAL_RESULTS = ".shelf"  # how the names of files of partial results end
TRAIN_STATE = "train_state"  # a key: there in states written since the first step


class CheckpointError(ExpectedError):
    """A checkpoint that cannot be used, and why."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state as one file; a reader never sees half of it."""
    with atomic_write(path) as file:
        torch.save({"format": FORMAT} | state, file)


def load_checkpoint(path: Path, *, identity: Mapping[str, str]) -> dict[str, Any]:
    """Read a checkpoint of the same training, without unpickling code.

    ``identity`` names everything that must not change between start and resume.
    Raises CheckpointError where the file is missing, damaged, of another version or of another
    training; the message names what differs.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not check the checksums
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a checksum is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both raise many types on a damaged file
        raise CheckpointError(f"The checkpoint {path} is damaged and cannot be read.") from error
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(f"{path} is no checkpoint of this project.")
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"The checkpoint {path} was written by another version of this project; finish that "
            "training with it, or start a new one with resume=never."
        )
    theirs, ours = state.get("identity", {}), dict(identity)
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise CheckpointError(
                f"The checkpoint {path} is of another training: its {name} is "
                f"{theirs.get(name, 'not set')}, here it is {ours.get(name, 'not set')}."
            )
    return state


def is_unfinished(folder: Path) -> bool:
    """Whether a folder holds the state of a training that has not ended."""
    has_state = any((folder / name).is_file() for name in (LAST, PREVIOUS))
    return has_state and not (folder / FINISHED).is_file()


@dataclass
class Checkpoints:
    """A folder with the newest state of a training, the one before it, and its best weights.

    Attributes:
        identity: what must be equal for a resume.
        run: the training's id in the tracker; of a resumed training, the id it had.
        save_every: steps between two states; the end of an epoch saves one, too.
        resume: continue from the newest state that can be read.
        has_train_state: whether that state is from the gradient loop, not from the work before it.
        begun: whether ``begin`` has been called.

    Raises CheckpointError for a new training in a folder that holds an unfinished one, and for a
    resume where the state is missing, damaged or of another training.
    """

    folder: Path
    identity: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    save_every: int = 100
    resume: bool = False
    has_train_state: bool = field(default=False, init=False)
    begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for path in self.folder.glob(f"*{PARTIAL_SUFFIX}"):  # of a process killed while it wrote
            path.unlink(missing_ok=True)
        if self.resume:
            state = self.load()  # before hours of other work
            self.run, self.has_train_state = state["run"], TRAIN_STATE in state
        elif is_unfinished(self.folder):
            raise CheckpointError(
                f"{self.folder} holds an unfinished training; resume it with "
                f"resume={self.folder}, or name another checkpoint_dir."
            )

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.folder / LAST

    @property
    def previous(self) -> Path:
        """The state before the newest."""
        return self.folder / PREVIOUS

    @property
    def best(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / BEST

    def save(self, state: Mapping[str, Any], best: Mapping[str, torch.Tensor] | None) -> None:
        """Write the state, and the best weights where they are new."""
        header = {"identity": dict(self.identity), "run": self.run}
        if best is not None:
            save_checkpoint(self.best, header | {"model": dict(best)})
        if self.last.is_file():
            os.replace(self.last, self.previous)
        save_checkpoint(self.last, header | dict(state))

    def begin(self) -> None:
        """Record that a training has begun, before it has any state.

        Files of an earlier, finished training in the folder are removed first.
        """
        if self.begun:
            return
        self.begun = True
        if not self.resume:
            old = self.folder.glob(f"*{PARTIAL_RESULTS}")
            for path in (self.last, self.previous, self.best, *old):
                path.unlink(missing_ok=True)
        (self.folder / FINISHED).unlink(missing_ok=True)
        if not self.resume:
            self.save({}, best=None)

    def partial_results(self, name: str) -> "PartialResults":
        """Where a long computation saves the results that it has so far."""
        return PartialResults(self.folder, name, self.identity)

    def load(self) -> dict[str, Any]:
        """The newest state that can be read; one that cannot is renamed, with a message.

        Raises CheckpointError, that of the newest state, where none can be read.
        """
        try:
            return load_checkpoint(self.last, identity=self.identity)
        except CheckpointError as error:
            try:
                state = load_checkpoint(self.previous, identity=self.identity)
            except CheckpointError as error_of_previous:
                raise (error if self.last.is_file() else error_of_previous) from None
            if self.last.is_file():
                os.replace(self.last, self.last.with_suffix(".refused"))
                print(f"{error} Resuming from the state before it.", flush=True)
            os.replace(self.previous, self.last)
            return state

    def finish(self) -> None:
        """Record that the training has ended; another one may begin in this folder."""
        (self.folder / FINISHED).touch()
        for path in self.folder.glob(f"*{PARTIAL_RESULTS}"):
            path.unlink()


@dataclass
class PartialResults:
    """Results of a long computation, saved in files of ``save_every`` tensors as they come.

    Attributes:
        unsaved: results that are not in a file yet.
        files: the number of files.
    """

    folder: Path
    name: str
    identity: Mapping[str, str]
    save_every: int = 20
    unsaved: list[torch.Tensor] = field(default_factory=list)
    files: int = 0

    def load(self) -> list[torch.Tensor]:
        """What an earlier process saved, up to the first file that is missing or damaged."""
        found: list[torch.Tensor] = []
        while self._path(self.files).is_file():
            try:
                found += load_checkpoint(self._path(self.files), identity=self.identity)["results"]
            except CheckpointError as error:
                print(f"{error} Its results are computed again.", flush=True)
                break
            self.files += 1
        return found

    def add(self, result: torch.Tensor) -> None:
        """Save one more result."""
        self.unsaved.append(result)
        if len(self.unsaved) == self.save_every:
            state = {"identity": dict(self.identity), "results": self.unsaved}
            save_checkpoint(self._path(self.files), state)
            self.unsaved, self.files = [], self.files + 1

    def clear(self) -> None:
        """Remove the files."""
        for path in self.folder.glob(f"{self.name}-*{PARTIAL_RESULTS}"):
            path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.name}-{number}{PARTIAL_RESULTS}"
