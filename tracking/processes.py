"""Identifies processes across machines and restarts, and checks whether they still run."""

import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

START_TOLERANCE_SECONDS = 3.0  # the boot time that the system reports varies by less than this


@dataclass(frozen=True)
class Worker:
    """A process that works on a run or on trials.

    The field names are stored in MLflow tags and in Optuna studies.

    Attributes:
        machine: the ``machine_id`` of its machine.
        pid: its process id.
        since: its start, in seconds after the boot of the machine. Setting the clock does not
            change it. It is not compared: two reports of the same process may differ slightly.
    """

    machine: str
    pid: int
    since: float = field(compare=False)

    @classmethod
    def current(cls) -> "Worker":
        """This process."""
        return cls.from_pid(os.getpid())

    @classmethod
    def from_pid(cls, pid: int) -> "Worker":
        """A process of this machine. Raises psutil.Error if there is none with this id."""
        since = psutil.Process(pid).create_time() - psutil.boot_time()
        return cls(machine_id(), pid, round(since, 2))

    @property
    def is_local(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.machine == machine_id()

    def is_alive(self) -> bool:
        """Whether this process of this machine is still running."""
        with suppress(psutil.Error):
            started = Worker.from_pid(self.pid).since
            same = abs(started - self.since) < START_TOLERANCE_SECONDS
            return same and psutil.Process(self.pid).status() != "zombie"
        return False

    def is_gone(self) -> bool:
        """Whether it certainly ended: it ran on this machine, or before this machine's last boot.

        False for a process of another machine, whose state is unknown.
        """
        if self.is_local:
            return not self.is_alive()
        place, _, boot = self.machine.rpartition("/")
        our_place, _, our_boot = machine_id().rpartition("/")
        return our_place.count("/") == 2 and place == our_place and boot != our_boot

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


@cache
def machine_id() -> str:
    """An identifier of this machine, this container and this boot: parts joined by ``/``.

    The parts are the host name and the network address and, on Linux, the process namespace and
    the boot id.
    """
    parts = [socket.gethostname(), f"{uuid.getnode():x}"]
    with suppress(OSError):  # only Linux has these files
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    return "/".join(parts)
