"""Function calls with a time limit."""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def call_with_timeout(seconds: float, call: Callable[[], Result]) -> Result:
    """Return or raise what ``call`` does; raise TimeoutError if it takes longer than ``seconds``.

    For network calls, whose DNS and TLS steps have no timeout. The call runs in a daemon thread, so
    a call that never returns does not block the exit of the process.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    raise errors[0] if errors else TimeoutError(f"no answer within {seconds:g} s")
