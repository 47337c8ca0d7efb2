"""Computations with a time limit: one that runs over is given up, and its thread stops computing.

    answers = call_within(8.0, lambda: answerer.answer([crystal]))

Network calls wait outside Python; ``call_with_timeout`` is for them.
"""

import ctypes
import math
import time
from collections.abc import Callable
from threading import Condition, Lock, Thread, get_ident
from typing import TypeVar

Result = TypeVar("Result")
REPEAT_SECONDS = 1.0  # after which an exception that a library has swallowed is raised again


class _Overdue(BaseException):
    """Raised in a thread whose time is over; no ``except Exception`` stops it."""


def call_within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return or raise what ``call`` does; raise TimeoutError if it takes longer than ``seconds``.

    Another thread raises an exception in this one, which Python does between two bytecodes: a call
    of a C function ends first, so other limits must bound its work. Where code swallows the
    exception, it is raised again every second, and what ``call`` returns or raises is dropped.
    Limits may be nested.

    ``call`` should compute and nothing else. Interrupted imports leave half a module, and a lock
    that is acquired without ``with`` may stay locked. In a thread that is just starting another
    one, CPython may raise the exception in the new thread.
    """
    limit = _Limit(get_ident(), time.monotonic() + seconds)
    try:
        try:
            WATCHDOG.watch(limit)
            result = call()
        finally:
            # Python 3.11 raises the exception after a call or at a backward jump, so not before
            # the limit is discarded.
            with WATCHDOG.lock:
                WATCHDOG.limits.discard(limit)
                if limit.is_overdue:
                    _raise_pending(limit.thread)
    except (Exception, _Overdue):
        if not limit.is_overdue:
            raise  # an error of the call, or the end of a limit around this one
    else:
        if not limit.is_overdue:
            return result
    raise TimeoutError(f"It took longer than {seconds:g} s.")


def _raise_pending(thread: ctypes.c_ulong) -> None:
    """Raise in this thread, and catch, what the watchdog may have left to be raised.

    To take it back, with None, is not enough: CPython 3.11 then looks for an exception at every
    call and jump of the process until one is raised, and never ends that search in a profiler.
    """
    try:
        raise_in(thread, OVERDUE)
    except _Overdue:
        return


class _Limit:
    """The time limit of a call.

    Attributes:
        thread: the identifier of its thread.
        next: when to raise the exception in it, in monotonic seconds.
    """

    def __init__(self, thread: int, end: float) -> None:
        self.thread, self.next, self.is_overdue = ctypes.c_ulong(thread), end, False


class _Watchdog:
    """The thread that watches the limits of all others; it starts with the first limit.

    Attributes:
        limits: of the calls that go on; guarded by ``lock``, as is the raising of exceptions.
        wakes: when its thread looks at them next, in monotonic seconds; guarded by ``lock``.
    """

    def __init__(self) -> None:
        self.lock, self.limits = Lock(), set[_Limit]()
        self.wakes = math.inf
        self._changed = Condition(self.lock)
        self._thread: Thread | None = None

    def watch(self, limit: _Limit) -> None:
        with self.lock:
            if self._thread is None or not self._thread.is_alive():  # it ends in a forked process
                self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            self.limits.add(limit)
            if limit.next < self.wakes:
                self._changed.notify()

    def _run(self) -> None:
        with self.lock:
            while True:
                now = time.monotonic()
                for limit in self.limits:
                    if limit.next <= now:
                        limit.is_overdue, limit.next = True, now + REPEAT_SECONDS
                        raise_in(limit.thread, OVERDUE)
                self.wakes = min((limit.next for limit in self.limits), default=math.inf)
                self._changed.wait(None if self.wakes == math.inf else self.wakes - now)


WATCHDOG = _Watchdog()
OVERDUE = ctypes.py_object(_Overdue)
raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
