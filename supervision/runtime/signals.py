"""Handling of Ctrl-C, SIGTERM and SIGHUP: deferring a signal, and interrupting only once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPT_SIGNALS = tuple(  # a closed terminal sends SIGHUP; Windows does not have it
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delay signals that arrive within the block until the block has ended.

    Python handles signals in the main thread only; in other threads this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda n, _frame: received.append(n))
        for number in INTERRUPT_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if received:
            signal.raise_signal(received[0])


@contextmanager
def interrupt_on_signal() -> Iterator[threading.Event]:
    """Raise KeyboardInterrupt on the first of Ctrl-C, SIGTERM and SIGHUP; ignore later ones.

    Yields an event that is set when the signal arrives. After Ctrl-C, ``mlflow run`` also sends
    SIGTERM to its child process; that second signal must not stop the cleanup of the first.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = {number: signal.getsignal(number) for number in INTERRUPT_SIGNALS}

    def interrupt(*_signal: object) -> None:
        for number in INTERRUPT_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        interrupted.set()
        raise KeyboardInterrupt

    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, interrupt)
    try:
        yield interrupted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
