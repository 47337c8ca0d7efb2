"""What is wrong with a crystal or a data set, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from supervision.runtime.errors import one_line
from supervision.runtime.text import printable


class CrystalError(ValueError):
    """A crystal that cannot be used; the message is one sentence that says why."""


class DatasetError(ValueError):
    """A data set that cannot be used; the message says what to do."""


@contextmanager
def crystal_errors(name: str = "") -> Iterator[None]:
    """Whatever fails within is a CrystalError of one sentence, which begins with a name if given.

    One crystal must not cost a server, a folder or a training. What is no crystal's fault passes: a
    package that is missing, an archive of another recipe.
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
        why = f"{type(error).__name__}: {one_line(error)}"
        raise CrystalError(f"{prefix}It could not be read ({why}).") from error
