"""The cache folder, atomic file writes, checksums and printable paths."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from supervision.runtime.text import printable

PARTIAL_SUFFIX = ".part"  # of a file that is still being written


def cache_dir() -> Path:
    """The cache folder: ``$SUPERVISION_CACHE`` or ``~/.cache/supervision``; created if missing."""
    path = Path(os.environ.get("SUPERVISION_CACHE") or Path.home() / ".cache" / "supervision")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears at ``path`` only when it is complete and on disk.

    Until then the data are in a temporary file in the same folder, with a name unique across
    processes and machines. If writing fails, the temporary file is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as a hexadecimal string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable_path(path: Path) -> str:
    """The path as printable text; bytes that are not valid text are written as escapes."""
    return printable(path.as_posix().encode(errors="backslashreplace").decode())
