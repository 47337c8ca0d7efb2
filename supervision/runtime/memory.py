"""How much memory this process may have, how much is left, and when it is about to run out.

A container's limit (cgroup) counts where there is one: the machine's memory says nothing then.
"""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from supervision.runtime.heap import trim

RESERVE = 0.05  # of all memory: less than this left is too little
OURS = 0.1  # of that: what a step takes less is not what makes it little
SLOWER = 3.0  # times the usual step: what swapping does, and what nothing else should do
SWAPPED = 32 << 20  # bytes moved to or from swap within a step that are no accident
UNLIMITED = 1 << 60  # what cgroups write where there is no limit is larger
M_MMAP_THRESHOLD = -3  # malloc.h of glibc
LARGE = 1 << 20  # bytes


@dataclass(frozen=True)
class Memory:
    """Bytes: all there is for this process, and what is left of it."""

    total: int
    free: int

    def __str__(self) -> str:
        return f"{gigabytes(self.free)} of {gigabytes(self.total)} free"


def memory(root: Path = Path("/")) -> Memory:
    """The machine's, or the tightest cgroup's. ``root`` is where proc and sys lie, for tests."""
    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    for limit, used in _cgroups(root):
        total, free = min(total, limit), min(free, max(0, limit - used))
    return Memory(total, free)


def _cgroups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of every memory cgroup that this process is in, innermost first.

    Files that can be dropped from memory at any time are not counted as used. Both versions:
    https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/memory.html.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = top / path.lstrip("/")
        if not folder.is_dir():  # seen from inside a container, its own is the top
            folder = top
        while True:
            found = _limit_and_use(folder, *names)
            if found:
                yield found
            if folder == top:
                break
            folder = folder.parent


def _limit_and_use(folder: Path, limit: str, use: str, droppable: str) -> tuple[int, int] | None:
    try:
        most = int((folder / limit).read_text())
        used = int((folder / use).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # "max", or nothing of the kind
        return None
    return (most, used - int(stat.get(droppable, 0))) if most < UNLIMITED else None


def resident() -> int:
    """Bytes of this process that are in memory."""
    return psutil.Process().memory_info().rss


def _peak() -> int:
    """The most that ``resident`` has been since ``_forget_peak``, where the system counts it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return resident()
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return found[0] << 10 if found else resident()


def _forget_peak() -> None:
    """Count the peak anew: https://docs.kernel.org/filesystems/proc.html, clear_refs."""
    with suppress(OSError):  # not Linux, or not ours to say: the peak is an older and larger one
        Path("/proc/self/clear_refs").write_text("5")


def gigabytes(size: float) -> str:
    """Bytes as text."""
    return f"{size / 2**30:.1f} GiB"


def limit_fragmentation() -> None:
    """Return what was freed to the system and, from here on, large blocks once they are free.

    The C library keeps them for itself, and steps of unlike lengths leave holes between them: half
    as much again as is in use. Asking the system for each takes time: for where memory is scarce.
    """
    give_back()
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Return what was freed to the system: the C library keeps it for a next time."""
    gc.collect()
    trim()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the CPU or on a GPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate" in text)
    )


@dataclass
class StepMemoryMonitor:
    """Looks at memory, swap and the clock after each step, and says when it gets too much.

    Attributes:
        takes: bytes that a step takes and gives back, at most, as far as has been seen.
        seconds: what the last steps took.
        swapped: what had been moved to and from swap after the last one.
    """

    takes: int = 0
    seconds: list[float] = field(default_factory=list)
    swapped: int = field(default_factory=lambda: _swapped())

    def begin(self) -> str:
        """Before the first of some steps: why they should be smaller than those so far, if so."""
        _forget_peak()  # something else than steps may have made it
        return self._scarce()

    def too_much(self, seconds: float) -> str:
        """Why the next step should be smaller than the last, which took so long; or nothing."""
        usual = median(self.seconds) if len(self.seconds) >= 5 else seconds
        self.seconds = [*self.seconds[-49:], seconds]
        before, self.swapped = self.swapped, _swapped()
        if why := self._scarce():
            return why
        if self.swapped - before > SWAPPED and seconds > SLOWER * usual:
            return (
                f"the system is swapping, and a step took {seconds:.1f} s in the place of "
                f"{usual:.1f} s"
            )
        return ""

    def _scarce(self) -> str:
        """Between two steps there is room that the next one needs: what they take for a while.

        How much that is shows only once the C library has given back what it keeps.
        """
        found = self._look()
        reserve = RESERVE * found.total
        if found.free - self.takes < reserve:
            give_back()
            found = self._look()
        if found.free - self.takes < reserve and self.takes > OURS * reserve:
            return f"only {found}, and a step takes {gigabytes(self.takes)} for a while"
        return ""

    def _look(self) -> Memory:
        self.takes = max(self.takes, _peak() - resident())
        return memory()


def _swapped() -> int:
    """Bytes moved to and from swap since the machine was started."""
    swap = psutil.swap_memory()
    return swap.sin + swap.sout
