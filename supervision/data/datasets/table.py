"""Reading a CSV table of crystals and the CIF files it names, strictly and as text."""

import csv
import io
import itertools
import stat
import warnings
from collections.abc import Set
from pathlib import Path

import pandas as pd

from supervision.data.cif import MAX_CIF_BYTES, plain_text
from supervision.data.errors import CrystalError, DatasetError
from supervision.runtime.errors import reason


def parse_table(raw: bytes, source: str, columns: Set[str]) -> pd.DataFrame:
    """The table with every cell as text; lines before the header that begin with # are comments.

    Raises DatasetError, naming ``source``, where it is no table, has rows longer than its header,
    or lacks one of ``columns``.
    """
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
        raise DatasetError(f"{source} is not a CSV table in UTF-8 ({reason}).") from error
    table.columns = pd.Index(_header(raw, source))
    missing = columns - set(table.columns)
    if missing:
        raise DatasetError(f"{source} lacks the column(s) {', '.join(sorted(missing))}.")
    return table


def _header(raw: bytes, source: str) -> list[str]:
    """The names of the columns as they stand there: pandas renames one that stands there twice."""
    lines = io.StringIO(raw.decode())
    rows = csv.reader(itertools.dropwhile(lambda line: line.startswith("#"), lines))
    names = [name.strip() for name in next(row for row in rows if row)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"{source} has more than one column {', '.join(twice)}.")
    return names


def read_cif(folder: Path, cif: str) -> str:
    """The text of a CIF file by its path relative to ``folder``.

    Raises CrystalError where it is not there, too large, or (also by a link) outside ``folder``:
    a table that came from somewhere else must not choose what is read here.
    """
    try:
        root = folder.resolve()
        path = (root / cif).resolve()
        if not path.is_relative_to(root):
            raise CrystalError(f"'{cif}' lies outside the folder of its table.")
        if not cif or not path.is_file():
            raise CrystalError(f"There is no file '{cif[:200]}' in the folder of the table.")
        return load_cif(path)
    except CrystalError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a NUL in it, no permission
        raise CrystalError(f"The file {cif[:200]!r} cannot be read ({reason(error)}).") from error


def load_cif(path: Path) -> str:
    """The text of a CIF file.

    Raises CrystalError for one that is too large, or that is a pipe, a device or a socket, from
    which a reader may wait for ever; OSError as usual.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise CrystalError("It is no regular file, but a pipe, a device or a socket.")
    if found.st_size > MAX_CIF_BYTES:
        raise CrystalError(f"The file is larger than {MAX_CIF_BYTES // 10**6} MB.")
    return decode_cif(path.read_bytes())


def decode_cif(raw: bytes) -> str:
    """The plain text of a CIF file; what is not UTF-8 in it is left out as unknown."""
    return plain_text(raw.decode(errors="replace"))
