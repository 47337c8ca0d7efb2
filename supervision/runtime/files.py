"""Where things that can be made again are kept, and how a file comes to be there whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from supervision.runtime.text import printable

PARTIAL = ".part"  # how the name of a file ends that is not yet whole


def cache_dir() -> Path:
    """The cache folder, made if need be: ``$SUPERVISION_CACHE`` or ``~/.cache/supervision``."""
    path = Path(os.environ.get("SUPERVISION_CACHE") or Path.home() / ".cache" / "supervision")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name only once it is whole and on disk.

    Until then it has a name of its own in the same folder, which no other process shares, on this
    machine or another; where the writing fails, nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def shown(path: Path) -> str:
    """A path as text that can be written and printed, whatever bytes its name is made of."""
    return printable(path.as_posix().encode(errors="backslashreplace").decode())
