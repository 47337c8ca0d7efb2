"""Settings of the C library's heap (glibc malloc), which keeps freed memory for reuse."""

import ctypes
import math
import sys
import time

M_ARENA_MAX = -8  # malloc.h of glibc
MAX_ARENAS = 2
TRIM_SECONDS = 0.1  # a request that takes longer is always followed by a trim


def trim_heap() -> None:
    """Return freed memory to the operating system (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


class HeapTrimmer:
    """Trims the heap at most once in ``TRIM_SECONDS``.

    To trim it, and to get the pages again, takes as long as a small prediction.
    """

    def __init__(self) -> None:
        self.last = -math.inf  # monotonic seconds

    def trim(self) -> None:
        """``trim_heap``, unless that was a moment ago. Threads that trim at once do no harm."""
        now = time.monotonic()
        if now - self.last >= TRIM_SECONDS:
            self.last = now
            trim_heap()


def limit_malloc_arenas() -> None:
    """Let all threads share two malloc arenas (Linux only).

    By default each thread gets its own arena, which stays as large as the largest crystal the
    thread has read and becomes fragmented.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)
