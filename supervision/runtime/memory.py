"""Memory of this process: how much it may use, how much is free, and when it is about to run out.

Inside a container, the limit of its cgroup replaces the memory of the machine.
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

from supervision.runtime.heap import trim_heap

MIN_FREE_FRACTION = 0.05  # of total memory; the reserve that must stay free
MIN_STEP_FRACTION_OF_RESERVE = 0.1  # smaller steps do not help where a step needs less than this
SWAP_SLOWDOWN_FACTOR = 3.0  # a step this many times slower than the median is slowed by swapping
SWAPPED_BYTES = 32 << 20  # moved to or from swap within one step; less can be other processes'
UNLIMITED_BYTES = 1 << 60  # a cgroup without a limit reports a larger number
M_MMAP_THRESHOLD = -3  # malloc.h of glibc
MMAP_THRESHOLD_BYTES = 1 << 20


@dataclass(frozen=True)
class Memory:
    """Memory available to this process, total and free, in bytes."""

    total: int
    free: int

    def __str__(self) -> str:
        return f"{format_gib(self.free)} of {format_gib(self.total)} free"


def available_memory(root: Path = Path("/")) -> Memory:
    """The memory of the machine, or of the tightest cgroup limit that applies to this process.

    ``root`` is the folder that holds proc and sys; tests pass another one.
    """
    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    for limit, used in _cgroups(root):
        total, free = min(total, limit), min(free, max(0, limit - used))
    return Memory(total, free)


def _cgroups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and usage in bytes of every memory cgroup of this process, innermost first.

    File pages that the kernel can drop are not counted as used. Covers both cgroup versions:
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
        if not folder.is_dir():  # inside a container its own cgroup is mounted at the top
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
    except (OSError, ValueError):  # the limit is "max", or the files are missing
        return None
    return (most, used - int(stat.get(droppable, 0))) if most < UNLIMITED_BYTES else None


def resident_bytes() -> int:
    """The resident set size of this process in bytes."""
    return psutil.Process().memory_info().rss


def _peak_resident_bytes() -> int:
    """The peak of ``resident_bytes`` since ``_reset_peak``; the current value except on Linux."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return resident_bytes()
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return found[0] << 10 if found else resident_bytes()


def _reset_peak() -> None:
    """Reset the peak: https://docs.kernel.org/filesystems/proc.html, clear_refs."""
    with suppress(OSError):  # not Linux or not permitted: an older, larger peak remains
        Path("/proc/self/clear_refs").write_text("5")


def format_gib(size: float) -> str:
    """A number of bytes as text in GiB."""
    return f"{size / 2**30:.1f} GiB"


def limit_fragmentation() -> None:
    """Return freed memory to the system, now and for large blocks from now on.

    By default the C library keeps freed blocks, and steps of different sizes fragment its heap to
    1.5 times the memory in use. Requesting each large block from the system is slower, so call
    this only where memory is scarce.
    """
    release_memory()
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def release_memory() -> None:
    """Collect garbage and return freed memory to the system."""
    gc.collect()
    trim_heap()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is a failed allocation, on the CPU or on a GPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate" in text)
    )


@dataclass
class StepMemoryMonitor:
    """Watches memory, swapping and step times, and reports when steps have to be smaller.

    Attributes:
        step_bytes: the largest temporary memory of a step so far.
        step_seconds: durations of the last 50 steps.
        swapped_bytes: total bytes moved to and from swap at the end of the last step.
    """

    step_bytes: int = 0
    step_seconds: list[float] = field(default_factory=list)
    swapped_bytes: int = field(default_factory=lambda: _swapped_bytes())

    def check_before_steps(self) -> str:
        """Call before the first step of an epoch.

        Returns why steps have to be smaller than so far, or an empty string.
        """
        _reset_peak()  # the peak may come from something other than steps
        return self._shortage()

    def check_after_step(self, seconds: float) -> str:
        """Call after each step with its duration.

        Returns why the next steps have to be smaller, or an empty string.
        """
        usual = median(self.step_seconds) if len(self.step_seconds) >= 5 else seconds
        self.step_seconds = [*self.step_seconds[-49:], seconds]
        before, self.swapped_bytes = self.swapped_bytes, _swapped_bytes()
        if reason := self._shortage():
            return reason
        swapped = self.swapped_bytes - before
        if swapped > SWAPPED_BYTES and seconds > SWAP_SLOWDOWN_FACTOR * usual:
            return (
                f"the system is swapping, and a step took {seconds:.1f} s instead of {usual:.1f} s"
            )
        return ""

    def _shortage(self) -> str:
        """Why the next step has too little memory, or an empty string.

        Memory that the C library keeps counts as used, so it is returned before the decision.
        """
        found = self._measure()
        reserve = MIN_FREE_FRACTION * found.total
        if found.free - self.step_bytes < reserve:
            release_memory()
            found = self._measure()
        short = found.free - self.step_bytes < reserve
        if short and self.step_bytes > MIN_STEP_FRACTION_OF_RESERVE * reserve:
            return f"only {found}, and a step needs {format_gib(self.step_bytes)} temporarily"
        return ""

    def _measure(self) -> Memory:
        self.step_bytes = max(self.step_bytes, _peak_resident_bytes() - resident_bytes())
        return available_memory()


def _swapped_bytes() -> int:
    """Bytes moved to and from swap since the machine started."""
    swap = psutil.swap_memory()
    return swap.sin + swap.sout
