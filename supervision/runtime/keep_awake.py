"""Keeping a machine from falling asleep over a training, where it lets us."""

import ctypes
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

HELPERS = {  # commands that hold off sleep while what they run is running
    "systemd-inhibit": [
        "--what=sleep:idle",
        "--who=SuperVision",
        "--why=a model is training",
        "--mode=block",
    ],
    "caffeinate": ["-i", "-s"],
}
SIGN = "held"
UNTIL_INPUT_ENDS = ["sh", "-c", f"echo {SIGN}; exec cat"]  # which it does when we end, however
PATIENCE = 5.0  # seconds for an answer
CONTINUOUS, SYSTEM_REQUIRED = 0x80000000, 0x00000001  # SetThreadExecutionState, learn.microsoft.com


class SleepError(RuntimeError):
    """Sleep cannot be held off here; the message says why."""


@contextmanager
def keep_awake() -> Iterator[None]:
    """Hold off sleep within the block; says whether it could, and goes on either way."""
    with ExitStack() as stack:
        try:
            by = stack.enter_context(prevent_sleep())
            print(f"Sleep is held off while training ({by}).", flush=True)
        except SleepError as error:
            print(f"Sleep cannot be held off ({error}); going on without.", flush=True)
        yield


@contextmanager
def prevent_sleep() -> Iterator[str]:
    """Hold off sleep within the block, by what is yielded; raises SleepError where nothing can.

    It ends with this process, however that ends.
    """
    with _by_windows() if sys.platform == "win32" else _by_helper() as name:
        yield name


@contextmanager
def _by_helper() -> Iterator[str]:
    name = next(filter(shutil.which, HELPERS), None)
    if name is None:
        raise SleepError(f"there is no {' or '.join(HELPERS)}")
    try:
        helper = subprocess.Popen(
            [name, *HELPERS[name], *UNTIL_INPUT_ENDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us, who have yet to write things down
        )
    except OSError as error:
        raise SleepError(f"{name}: {error.strerror}") from error
    with helper:
        try:
            _expect_sign(helper, name)
            yield name
        finally:
            helper.kill()


def _expect_sign(helper: subprocess.Popen[str], name: str) -> None:
    """What the helper runs says that it is running, or the helper says why it is not."""
    assert helper.stdout is not None
    assert helper.stderr is not None
    if not select.select([helper.stdout], [], [], PATIENCE)[0]:
        raise SleepError(f"{name}: no answer within {PATIENCE:g} s")
    if helper.stdout.readline().strip() != SIGN:
        reason = " ".join(helper.stderr.read().split())
        raise SleepError(f"{name}: {reason or f'exit status {helper.wait()}'}")


@contextmanager
def _by_windows() -> Iterator[str]:
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    if not kernel.SetThreadExecutionState(CONTINUOUS | SYSTEM_REQUIRED):
        raise SleepError("Windows refuses")
    try:
        yield "SetThreadExecutionState"
    finally:
        kernel.SetThreadExecutionState(CONTINUOUS)
