"""Errors of crystals and data sets; every message is one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from supervision.runtime.errors import one_line
from supervision.runtime.text import printable


class CrystalError(ValueError):
    """A crystal cannot be used; the message is one sentence that says why."""


class DatasetError(ValueError):
    """A data set cannot be used; the message says what to do."""


@contextmanager
def crystal_errors(name: str = "") -> Iterator[None]:
    """Convert any error within the block to a CrystalError of one sentence.

    A single bad crystal must not stop a server, a folder or a training. Errors that are not caused
    by the crystal pass unchanged: ImportError and DatasetError.

    Args:
        name: the crystal's name, put before the message if given.
    """
    prefix = f"{printable(name)}: " if name else ""
    try:
        yield
    except CrystalError as error:
        raise CrystalError(f"{prefix}{error}") from error
    except (DatasetError, ImportError):
        raise
    except MemoryError as error:
        raise CrystalError(f"{prefix}There is not enough memory to read it.") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise CrystalError(f"{prefix}It could not be read ({reason}).") from error
