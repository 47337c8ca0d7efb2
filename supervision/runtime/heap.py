"""Memory that is free within this process and that the C library keeps for a next time."""

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h of glibc
HEAPS = 2


def trim() -> None:
    """Return it to the system."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def share_heaps() -> None:
    """Let all threads share two heaps.

    Each would have its own, as large as the largest crystal that it ever read, and full of holes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)
