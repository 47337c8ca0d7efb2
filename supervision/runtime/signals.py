"""Ctrl-C, SIGTERM, a closed terminal: heard once, and made to wait for what must be whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(  # the last is a closed terminal's, which Windows does not have
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Let a signal that comes within the block do what it does when the block is done.

    Signals reach the main thread alone: elsewhere there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, _frame: came.append(n)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def interrupt_on_signal() -> Iterator[threading.Event]:
    """Let SIGTERM do what Ctrl-C does, and only the first of them count; it sets what is yielded.

    On Ctrl-C ``mlflow run`` sends its child a SIGTERM on top; a second interrupt must not break
    off the writing down of the first.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def interrupt(*_signal: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        interrupted.set()
        raise KeyboardInterrupt

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
