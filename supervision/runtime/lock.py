"""One training at a time: in a checkpoint folder, and on a machine unless more are wanted.

A claim is a file that the operating system keeps locked for as long as its process lives, however
that ends, with a line beside it that says who holds it.
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

MODE = 0o666  # running_trainings of other users are to be seen, too


class BusyError(RuntimeError):
    """Somebody else trains here; the message says who, and what to do."""


@dataclass(frozen=True)
class LockHolder:
    """Who holds a claim."""

    pid: int
    host: str
    since: str
    run: str

    @classmethod
    def this(cls, run: str) -> "LockHolder":
        """This process."""
        return cls(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"), run)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}, run {self.run or 'unnamed'}"


class TrainingLock(ExitStack):
    """What this process has claimed for a run, given back at the end of the block."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run
        self.lines: list[Path] = []

    def rename_run(self, run: str) -> None:
        """It is another run's, an earlier one's that is carried on."""
        self.run = run
        for line in self.lines:
            self._sign(line)

    def lock_machine(self, *, parallel: bool) -> None:
        """Claim this machine. Raises BusyError where another training runs and is not ``parallel``.

        With ``parallel`` it is still said who else trains, and they of us.
        """
        folder = machine_folder()
        with FileLock(folder / "guard", mode=MODE):  # two that start at once must see each other
            others = list(_others(folder))
            if others and not parallel:
                raise BusyError(
                    f"Another training runs on this machine: {others[0]}. Wait for it, stop it, or "
                    "start with parallel=true: both are slower then."
                )
            for other in others:
                print(f"Another training runs on this machine: {other}.", flush=True)
            own = folder / f"{os.getpid()}.lock"
            self.callback(own.unlink, missing_ok=True)
            self._claim(own)

    def lock_folder(self, folder: Path) -> None:
        """Claim a checkpoint folder. Raises BusyError where another process trains in it."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._claim(folder / "training.lock")
        except Timeout:
            holder = _holder(folder / "training.lock")
            raise BusyError(
                f"{folder} is in use by {holder}: let it go on, or stop it, or name another "
                "checkpoint_dir."
            ) from None

    def _claim(self, path: Path) -> None:
        lock = FileLock(path, timeout=0, mode=MODE)
        lock.acquire()
        self.callback(lock.release)
        line = path.with_suffix(".json")
        self.callback(line.unlink, missing_ok=True)
        self.lines.append(line)
        self._sign(line)

    def _sign(self, line: Path) -> None:
        line.write_text(json.dumps(asdict(LockHolder.this(self.run))))


def running_trainings() -> list[LockHolder]:
    """Who trains on this machine now."""
    folder = machine_folder()
    with FileLock(folder / "guard", mode=MODE):
        return list(_others(folder))


def machine_folder() -> Path:
    """Where the running_trainings of this machine are known."""
    folder = Path(tempfile.gettempdir()) / "supervision-running_trainings"
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # it is another user's, who has done this already
        folder.chmod(0o777)
    return folder


def _others(folder: Path) -> Iterator[LockHolder]:
    """Who trains on this machine; what dead processes left behind is swept up."""
    for path in folder.glob("*.lock"):
        lock = FileLock(path, timeout=0, mode=MODE)
        try:
            lock.acquire()
        except Timeout:
            yield _holder(path)
        else:
            path.with_suffix(".json").unlink(missing_ok=True)
            lock.release()
            path.unlink(missing_ok=True)


def _holder(path: Path) -> LockHolder:
    try:
        return LockHolder(**json.loads(path.with_suffix(".json").read_text()))
    except (OSError, TypeError, ValueError):  # it is just being written
        return LockHolder(0, "an unknown machine", "just now", "")
