"""Reading a CSV table of crystals and the CIF files it names, strictly and as text."""

import io
import warnings
from collections.abc import Set
from pathlib import Path

import pandas as pd

from supervision.crystals import MAX_CIF_BYTES, CrystalError, DatasetError


def parse_table(raw: bytes, source: str, columns: Set[str]) -> pd.DataFrame:
    """The table with every cell as text; lines before the header that begin with # are comments.

    Raises DatasetError, naming ``source``, where it is no table, has rows longer than its header,
    or lacks one of ``columns``.
    """
    file = io.BytesIO(raw.removeprefix(b"\xef\xbb\xbf"))
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
    table.columns = table.columns.str.strip()
    missing = columns - set(table.columns)
    if missing:
        raise DatasetError(f"{source} lacks the column(s) {', '.join(sorted(missing))}.")
    return table


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
        if path.stat().st_size > MAX_CIF_BYTES:
            raise CrystalError(f"'{cif}' is larger than {MAX_CIF_BYTES // 10**6} MB.")
        return decode_cif(path.read_bytes())
    except CrystalError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a NUL in it, no permission
        raise CrystalError(f"The file '{cif[:200]!r}' cannot be read ({error}).") from error


def decode_cif(raw: bytes) -> str:
    """CIF text, the same from every kind of copy: no byte order mark, lines ended by ``\\n``."""
    text = raw.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
