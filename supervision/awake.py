"""Keeping a machine from falling asleep over a training, where it lets us."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CONTINUOUS, SYSTEM_REQUIRED = 0x80000000, 0x00000001  # SetThreadExecutionState, learn.microsoft.com
PROMPT = 1.0  # seconds within which a refusal comes


@contextmanager
def awake() -> Iterator[None]:
    """Hold off sleep within the block; says whether it could, and goes on either way.

    Ends with this process however that ends: the helper waits for us (macOS) or for its input to
    be closed (Linux), and Windows forgets the wish of a thread that is gone.
    """
    if sys.platform == "win32":
        yield from _windows()
        return
    command = _helper()
    if command is None:
        print("Nothing here can hold off sleep; going on without.", flush=True)
        yield
        return
    helper = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        helper.wait(PROMPT)
        assert helper.stderr is not None
        reason = " ".join(helper.stderr.read().split()) or f"exit status {helper.returncode}"
        print(f"Sleep cannot be held off ({command[0]}: {reason}); going on without.", flush=True)
    except subprocess.TimeoutExpired:  # it is still there, as it should be
        print(f"Sleep is held off while training ({command[0]}).", flush=True)
    try:
        yield
    finally:
        helper.kill()
        helper.communicate()


def _helper() -> list[str] | None:
    """The command that holds off sleep for as long as it runs."""
    if shutil.which("caffeinate"):
        return ["caffeinate", "-i", "-m", "-s", "-w", str(os.getpid())]
    if shutil.which("systemd-inhibit"):
        why = [
            "--what=sleep:idle",
            "--who=SuperVision",
            "--why=a model is training",
            "--mode=block",
        ]
        return ["systemd-inhibit", *why, "cat"]
    return None


def _windows() -> Iterator[None]:
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    held = kernel.SetThreadExecutionState(CONTINUOUS | SYSTEM_REQUIRED)
    print(
        "Sleep is held off while training."
        if held
        else "Sleep cannot be held off; going on without.",
        flush=True,
    )
    try:
        yield
    finally:
        kernel.SetThreadExecutionState(CONTINUOUS)
