"""Locks that allow one training per checkpoint folder and, by default, per machine.

A lock is a file that the operating system keeps locked until its process ends for any reason.
A JSON file beside it describes the holder.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from supervision.runtime.errors import ExpectedError

LOCK_FILE_MODE = 0o666  # other users must see the lock


class BusyError(ExpectedError):
    """Another process trains here; the message names it and says what to do."""


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock.

    Attributes:
        since: local time at which it took the lock.
        run: id or folder of its run; empty if it has none yet.
    """

    pid: int
    host: str
    since: str
    run: str

    @classmethod
    def current(cls, run: str) -> "LockHolder":
        """This process."""
        return cls(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"), run)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}, run {self.run or 'unnamed'}"


class TrainingLock(ExitStack):
    """The locks that this process holds for a run; released at the end of the ``with`` block."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run
        self.holder_files: list[Path] = []

    def rename_run(self, run: str) -> None:
        """Record another run as the holder, when an earlier run is resumed."""
        self.run = run
        for path in self.holder_files:
            self._write_holder(path)

    def lock_machine(self, *, parallel: bool) -> None:
        """Lock this machine. Raises BusyError if another training runs, unless ``parallel``.

        With ``parallel``, the other trainings are printed, and they can see this one.
        """
        folder = machine_lock_folder()
        # Of two trainings that start at once, the second must see the first.
        with FileLock(folder / "guard", mode=LOCK_FILE_MODE):
            others = list(_live_holders(folder))
            if others and not parallel:
                raise BusyError(
                    f"Another training runs on this machine: {others[0]}. Wait for it, stop it, or "
                    "start with parallel=true, which slows down both."
                )
            for other in others:
                print(f"Another training runs on this machine: {other}.", flush=True)
            own = folder / f"{os.getpid()}.lock"
            self.callback(own.unlink, missing_ok=True)
            self._lock(own)

    def lock_folder(self, folder: Path) -> None:
        """Lock a checkpoint folder. Raises BusyError if another process trains in it."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock(folder / "training.lock")
        except Timeout:
            holder = _read_holder(folder / "training.lock")
            raise BusyError(
                f"{folder} is in use by {holder}: wait for it, stop it, or choose another "
                "checkpoint_dir."
            ) from None

    def _lock(self, path: Path) -> None:
        lock = FileLock(path, timeout=0, mode=LOCK_FILE_MODE)
        lock.acquire()
        self.callback(lock.release)
        holder_file = path.with_suffix(".json")
        self.callback(holder_file.unlink, missing_ok=True)
        self.holder_files.append(holder_file)
        self._write_holder(holder_file)

    def _write_holder(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(LockHolder.current(self.run))))


def running_trainings() -> list[LockHolder]:
    """The trainings that run on this machine now."""
    folder = machine_lock_folder()
    with FileLock(folder / "guard", mode=LOCK_FILE_MODE):
        return list(_live_holders(folder))


def machine_lock_folder() -> Path:
    """The folder with one lock file per training on this machine; created if missing."""
    folder = Path(tempfile.gettempdir()) / "supervision-trainings"
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # of another user, whose process has set it
        folder.chmod(0o777)
    return folder


def _live_holders(folder: Path) -> Iterator[LockHolder]:
    """The holders of locks whose processes run; deletes the lock files of dead processes."""
    for path in folder.glob("*.lock"):
        lock = FileLock(path, timeout=0, mode=LOCK_FILE_MODE)
        try:
            lock.acquire()
        except Timeout:
            yield _read_holder(path)
        else:
            path.with_suffix(".json").unlink(missing_ok=True)
            lock.release()
            path.unlink(missing_ok=True)


def _read_holder(path: Path) -> LockHolder:
    try:
        return LockHolder(**json.loads(path.with_suffix(".json").read_text()))
    except (OSError, TypeError, ValueError):  # it is being written
        return LockHolder(0, "an unknown machine", "just now", "")
