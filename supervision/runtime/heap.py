"""Settings of the C library's heap (glibc malloc), which keeps freed memory for reuse."""

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h of glibc
MAX_ARENAS = 2


def trim_heap() -> None:
    """Return freed memory to the operating system (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def limit_malloc_arenas() -> None:
    """Let all threads share two malloc arenas (Linux only).

    By default each thread gets its own arena, which stays as large as the largest crystal the
    thread has read and becomes fragmented.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)
