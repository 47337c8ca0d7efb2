"""One-sentence messages for errors that libraries and the operating system raise."""

import errno
from collections.abc import Iterator

NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
ACCESS_DENIED_ERRNOS = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_SPACE_MESSAGES = ("No space left on device", "database or disk is full")  # safetensors, SQLite
READ_ONLY_MESSAGE = "attempt to write a readonly database"  # SQLite


def one_line(error: BaseException) -> str:
    """The error's message on one line, at most 200 characters, without its final full stop.

    The name of its type where it has no message.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200].rstrip(".")


def error_reason(error: BaseException) -> str:
    """The system's error text without the path it names; else the message on one line."""
    return getattr(error, "strerror", None) or one_line(error)


class ExpectedError(RuntimeError):
    """What a user can act on: the message is one sentence, and a command prints nothing else."""


class StoreError(ExpectedError):
    """The tracking store failed; the message is one sentence that says what to do."""


def disk_error_message(error: BaseException) -> str:
    """What to do about an error caused by a full disk or denied access; empty for other errors."""
    for cause in _causes(error):
        number, message = _errno(cause), str(cause)
        if number in NO_SPACE_ERRNOS or any(text in message for text in NO_SPACE_MESSAGES):
            return (
                f"No space is left{_for_path(cause)}. Free disk space and run the same command "
                "again; `python -m entrypoints.doctor` shows the free space of each folder."
            )
        denied = cause is error and number in ACCESS_DENIED_ERRNOS
        if denied or READ_ONLY_MESSAGE in message:
            return (
                f"Access is denied{_for_path(cause)} ({error_reason(cause)}). Correct its "
                "permissions, or choose another location: SUPERVISION_CACHE for the cache, TMPDIR "
                "for temporary files, MLFLOW_TRACKING_URI for the tracking store."
            )
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes: libraries wrap the system's error in one of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _errno(error: BaseException) -> int:
    return (isinstance(error, OSError) and error.errno) or 0


def _for_path(error: BaseException) -> str:
    """`` for PATH`` where the system's error names a path; a failed write names none."""
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return f" for {path}" if path else ""
