"""Training state on disk: written whole or not at all, and never without the one before it."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from supervision.runtime.files import PARTIAL, atomic_write

FORMAT = 3
LAST, PREVIOUS = "last.pt", "previous.pt"
FINISHED = "finished"  # a file that says so
SHELVED = ".shelf"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used, and why."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state as one file: a reader never sees half of it."""
    with atomic_write(path) as file:
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


def is_unfinished(folder: Path) -> bool:
    """Whether a folder holds the state of a training that has not come to its end."""
    there = any((folder / name).is_file() for name in (LAST, PREVIOUS))
    return there and not (folder / FINISHED).is_file()


@dataclass
class Checkpoints:
    """A folder with the newest state of a training, the one before it, and its best weights.

    Attributes:
        identity: what must be equal for a resume to be allowed.
        run: under which id the tracker knows the training; of a resumed one, the id it had.
        every: steps from one state to the next; every epoch ends with one besides.
        resume: go on from the newest state that can be read.
        descending: whether that is from within the descent, not from the work before it.
        begun: whether ``begin`` has been called.

    Raises CheckpointError for a new training in a folder that holds an unfinished one, and for a
    resume of one that is missing, damaged or another training.
    """

    folder: Path
    identity: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    every: int = 100
    resume: bool = False
    descending: bool = field(default=False, init=False)
    begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for scrap in self.folder.glob(f"*{PARTIAL}"):  # of a process that was killed as it wrote
            scrap.unlink(missing_ok=True)
        if self.resume:
            state = self.load()  # before hours are spent on what comes first
            self.run, self.descending = state["run"], "descent" in state
        elif is_unfinished(self.folder):
            raise CheckpointError(
                f"{self.folder} holds an unfinished training; carry it on with "
                f"resume={self.folder}, or name another checkpoint_dir."
            )

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.folder / LAST

    @property
    def previous(self) -> Path:
        """The state before it."""
        return self.folder / PREVIOUS

    @property
    def best(self) -> Path:
        """The best epoch's weights."""
        return self.folder / "best.pt"

    def save(self, state: Mapping[str, Any], best: Mapping[str, torch.Tensor] | None) -> None:
        """Write the state, and the best weights where they are new."""
        header = {"identity": dict(self.identity), "run": self.run}
        if best is not None:
            save_checkpoint(self.best, header | {"model": dict(best)})
        if self.last.is_file():
            os.replace(self.last, self.previous)
        save_checkpoint(self.last, header | dict(state))

    def begin(self) -> None:
        """Write down that there is a training, before it has anything to keep.

        What an earlier, finished one left in the folder goes first, then the mark that it is.
        """
        if self.begun:
            return
        self.begun = True
        if not self.resume:
            for path in (self.last, self.previous, self.best, *self.folder.glob(f"*{SHELVED}")):
                path.unlink(missing_ok=True)
        (self.folder / FINISHED).unlink(missing_ok=True)
        if not self.resume:
            self.save({}, best=None)

    def shelf(self, name: str) -> "PartialResults":
        """Where a long piece of work keeps what it has so far."""
        return PartialResults(self.folder, name, self.identity)

    def load(self) -> dict[str, Any]:
        """The newest state that can be read; what is refused is put aside, and that is said.

        Raises CheckpointError, the newest one's, where none can be.
        """
        try:
            return load_checkpoint(self.last, identity=self.identity)
        except CheckpointError as error:
            try:
                state = load_checkpoint(self.previous, identity=self.identity)
            except CheckpointError:
                raise error from None
            if self.last.is_file():
                os.replace(self.last, self.last.with_suffix(".refused"))
                print(f"{error} Going on from the one before it.", flush=True)
            os.replace(self.previous, self.last)
            return state

    def finish(self) -> None:
        """The training has come to its end, with all that follows it: a next one may begin here."""
        (self.folder / FINISHED).touch()
        for path in self.folder.glob(f"*{SHELVED}"):
            path.unlink()


@dataclass
class PartialResults:
    """Results of a long piece of work, kept in files of ``every`` as they come.

    Attributes:
        waiting: what is not in a file yet.
        files: how many there are.
    """

    folder: Path
    name: str
    identity: Mapping[str, str]
    every: int = 20
    waiting: list[torch.Tensor] = field(default_factory=list)
    files: int = 0

    def load(self) -> list[torch.Tensor]:
        """What an earlier process kept, up to the first file that is missing or damaged."""
        found: list[torch.Tensor] = []
        while self._path(self.files).is_file():
            try:
                found += load_checkpoint(self._path(self.files), identity=self.identity)["kept"]
            except CheckpointError as error:
                print(f"{error} It is made again.", flush=True)
                break
            self.files += 1
        return found

    def add(self, result: torch.Tensor) -> None:
        """Keep one more."""
        self.waiting.append(result)
        if len(self.waiting) == self.every:
            state = {"identity": dict(self.identity), "kept": self.waiting}
            save_checkpoint(self._path(self.files), state)
            self.waiting, self.files = [], self.files + 1

    def clear(self) -> None:
        """Keep nothing any more."""
        for path in self.folder.glob(f"{self.name}-*{SHELVED}"):
            path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.name}-{number}{SHELVED}"
