"""Strict reading of a CSV table of crystals and of the CIF files that it names."""

import csv
import io
import itertools
import stat
import warnings
from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING

from supervision.data.cif import MAX_CIF_BYTES, plain_text
from supervision.data.errors import CrystalError, DatasetError
from supervision.runtime.errors import error_reason

if TYPE_CHECKING:
    import pandas as pd


def parse_table(raw: bytes, source: str, columns: Set[str]) -> "pd.DataFrame":
    """Parse a CSV table in UTF-8; every cell is text. Lines with # before the header are comments.

    Args:
        source: the name of the table for messages.
        columns: the required columns.

    Raises DatasetError if it is not a table, has rows longer than its header or lacks a required
    column.
    """
    import pandas as pd  # CIF files are read without it

    raw = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    file = io.BytesIO(raw)
    while file.getbuffer()[file.tell() : file.tell() + 1] == b"#":
        file.readline()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False)
    except (
        UnicodeDecodeError,
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
    ) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{source} is not a CSV table in UTF-8 ({reason}); save it in this format."
        ) from error
    table.columns = pd.Index(_header(raw, source))
    missing = columns - set(table.columns)
    if missing:
        raise DatasetError(f"{source} lacks the column(s) {', '.join(sorted(missing))}; add them.")
    return table


def _header(raw: bytes, source: str) -> list[str]:
    """The column names as written; pandas would rename duplicates."""
    lines = io.StringIO(raw.decode())
    rows = csv.reader(itertools.dropwhile(lambda line: line.startswith("#"), lines))
    names = [name.strip() for name in next(row for row in rows if row)]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise DatasetError(
            f"{source} has more than one column {', '.join(duplicates)}; remove the others."
        )
    return names


def read_cif(folder: Path, cif: str, read: Callable[[Path], str] | None = None) -> str:
    """The text of a CIF file, given its path relative to ``folder``.

    Raises CrystalError if the file is missing, too large, or outside ``folder``, also by a link: an
    untrusted table must not be able to read arbitrary files.

    Args:
        read: what reads the file; by default ``load_cif``.
    """
    try:
        root = folder.resolve()
        path = (root / cif).resolve()
        if not path.is_relative_to(root):
            raise CrystalError(f"'{cif}' is outside the folder of its table.")
        if not cif or not path.is_file():
            raise CrystalError(f"There is no file '{cif[:200]}' in the folder of the table.")
        return (read or load_cif)(path)
    except CrystalError:
        raise
    except (OSError, ValueError) as error:  # name too long, NUL character, no permission
        raise CrystalError(
            f"The file {cif[:200]!r} cannot be read ({error_reason(error)})."
        ) from error


def load_cif(path: Path) -> str:
    """The text of a CIF file.

    Raises CrystalError for a file that is too large, and for a pipe, device or socket, from which
    reading may never end. Raises OSError if the file cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise CrystalError("It is not a regular file, but a pipe, a device or a socket.")
    if found.st_size > MAX_CIF_BYTES:
        raise CrystalError(f"The file is larger than {MAX_CIF_BYTES // 10**6} MB.")
    return decode_cif(path.read_bytes())


def decode_cif(raw: bytes) -> str:
    """The text of a CIF file; bytes that are not UTF-8 become replacement characters."""
    return plain_text(raw.decode(errors="replace"))
