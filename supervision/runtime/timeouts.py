"""Calls that are given up on."""

import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """What ``call`` returns or raises; TimeoutError after ``seconds``: DNS and TLS have no timeout.

    It runs in a thread that is a daemon, so that a call that never returns does not hold up the
    exit either.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    raise errors[0] if errors else TimeoutError(f"no answer within {seconds:g} s")
