"""Which process something is of, on which machine, and whether that still lives."""

import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

CLOCK = 3.0  # seconds by which the start of a machine, as it is told, may be off


@dataclass(frozen=True)
class Worker:
    """A process that works on a run or on trials."""

    machine: str
    pid: int
    since: float = field(compare=False)  # seconds from the machine's start, which no clock sets

    @classmethod
    def this(cls) -> "Worker":
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "Worker":
        """A process of this machine. Raises psutil.Error where there is none."""
        since = psutil.Process(pid).create_time() - psutil.boot_time()
        return cls(machine(), pid, round(since, 2))

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.machine == machine()

    def lives(self) -> bool:
        """Whether a process of this machine still is."""
        with suppress(psutil.Error):
            same = abs(Worker.of(self.pid).since - self.since) < CLOCK
            return same and psutil.Process(self.pid).status() != "zombie"
        return False

    def is_gone(self) -> bool:
        """Whether it certainly is: on this machine, or before this machine was started again."""
        if self.here:
            return not self.lives()
        place, _, start = self.machine.rpartition("/")
        ours, _, our_start = machine().rpartition("/")
        return ours.count("/") == 2 and place == ours and start != our_start

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


@cache
def machine() -> str:
    """A name that no other machine has, nor another container or a later start of this one."""
    told = [socket.gethostname(), f"{uuid.getnode():x}"]
    with suppress(OSError):  # Linux
        told.append(str(Path("/proc/self/ns/pid").stat().st_ino))
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    return "/".join(told)
