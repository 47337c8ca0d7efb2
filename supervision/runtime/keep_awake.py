"""Preventing the machine from going to sleep during a training."""

import ctypes
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

INHIBIT_COMMANDS = {  # commands that prevent sleep while the command they start is running
    "systemd-inhibit": [
        "--what=sleep:idle",
        "--who=SuperVision",
        "--why=a model is training",
        "--mode=block",
    ],
    "caffeinate": ["-i", "-s"],
}
READY_LINE = "held"
# The started command ends when its input does, which is when this process ends for any reason.
WAIT_FOR_INPUT_END = ["sh", "-c", f"echo {READY_LINE}; exec cat"]
START_TIMEOUT_SECONDS = 5.0
# Arguments of SetThreadExecutionState, learn.microsoft.com
ES_CONTINUOUS, ES_SYSTEM_REQUIRED = 0x80000000, 0x00000001


class SleepError(RuntimeError):
    """Sleep cannot be prevented; the message says why."""


@contextmanager
def keep_awake() -> Iterator[None]:
    """Prevent sleep within the block and print whether that works; the block runs either way."""
    with ExitStack() as stack:
        try:
            method = stack.enter_context(prevent_sleep())
            print(f"Sleep is prevented while training ({method}).", flush=True)
        except SleepError as error:
            print(f"Sleep cannot be prevented ({error}); training anyway.", flush=True)
        yield


@contextmanager
def prevent_sleep() -> Iterator[str]:
    """Prevent sleep within the block, or until this process ends for any reason.

    Yields the name of the command or system call in use. Raises SleepError where none works.
    """
    with _inhibit_on_windows() if sys.platform == "win32" else _inhibit_by_command() as name:
        yield name


@contextmanager
def _inhibit_by_command() -> Iterator[str]:
    name = next(filter(shutil.which, INHIBIT_COMMANDS), None)
    if name is None:
        raise SleepError(f"there is no {' or '.join(INHIBIT_COMMANDS)}")
    try:
        helper = subprocess.Popen(
            [name, *INHIBIT_COMMANDS[name], *WAIT_FOR_INPUT_END],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C must not end it: the training saves its state first
        )
    except OSError as error:
        raise SleepError(f"{name}: {error.strerror}") from error
    with helper:
        try:
            _wait_until_ready(helper, name)
            yield name
        finally:
            helper.kill()


def _wait_until_ready(helper: subprocess.Popen[str], name: str) -> None:
    """Wait for READY_LINE; raise SleepError with the helper's message if it does not come."""
    assert helper.stdout is not None
    assert helper.stderr is not None
    if not select.select([helper.stdout], [], [], START_TIMEOUT_SECONDS)[0]:
        raise SleepError(f"{name}: no answer within {START_TIMEOUT_SECONDS:g} s")
    if helper.stdout.readline().strip() != READY_LINE:
        reason = " ".join(helper.stderr.read().split())
        raise SleepError(f"{name}: {reason or f'exit status {helper.wait()}'}")


@contextmanager
def _inhibit_on_windows() -> Iterator[str]:
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    if not kernel.SetThreadExecutionState(ES_CONTINUOUS | ES_SYSTEM_REQUIRED):
        raise SleepError("Windows refuses")
    try:
        yield "SetThreadExecutionState"
    finally:
        kernel.SetThreadExecutionState(ES_CONTINUOUS)
