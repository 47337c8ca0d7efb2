"""How an error from elsewhere is said in a sentence of ours."""

import errno


def one_line(error: Exception) -> str:
    """The message of an error on one line, without its full stop; its type where it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200].rstrip(".")


def printable(text: str) -> str:
    """Text in which whatever a terminal would act on is written out, such as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plainly(error: Exception) -> str:
    """What a command says of an error: its message, but of a full disk what to do about it."""
    if not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return str(error)
    place = error.filename2 or error.filename  # of a write that fails it is not known
    return (
        f"No space is left{f' for {place}' if place else ''}. Make room and give the same command "
        "again; `python -m entrypoints.doctor` says how much is free where."
    )
