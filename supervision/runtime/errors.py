"""How an error from elsewhere is said in a sentence of ours."""

import errno
from collections.abc import Iterator

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
FULL = ("No space left on device", "database or disk is full")  # safetensors, SQLite
READ_ONLY = "attempt to write a readonly database"  # SQLite


def one_line(error: BaseException) -> str:
    """The message of an error on one line, without its full stop; its type where it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200].rstrip(".")


def reason(error: BaseException) -> str:
    """What failed, without the path that a system's error names."""
    return getattr(error, "strerror", None) or one_line(error)


class StoreError(RuntimeError):
    """A tracking store that fails; the message is one sentence that says what to do."""


def machine_fault(error: BaseException) -> str:
    """What to do where a full disk or denied access is behind an error; else empty."""
    for cause in _causes(error):
        if any(text in str(cause) for text in FULL) or _errno(cause) in NO_SPACE:
            return (
                f"No space is left{_place(cause)}. Make room and give the same command again; "
                "`python -m entrypoints.doctor` says how much is free where."
            )
        if READ_ONLY in str(cause) or (cause is error and _errno(cause) in CLOSED):
            return (
                f"Access is denied{_place(cause)} ({reason(cause)}). Correct its permissions or "
                "name another place: the cache by SUPERVISION_CACHE, temporary files by TMPDIR, "
                "the tracking store by MLFLOW_TRACKING_URI."
            )
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from: libraries raise their own type over the system's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _errno(error: BaseException) -> int:
    return (isinstance(error, OSError) and error.errno) or 0


def _place(error: BaseException) -> str:
    """The path of a system's error; of a write that fails it is not known."""
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return f" for {path}" if path else ""
