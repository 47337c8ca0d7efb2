"""Reading a CSV table of crystals, strictly and as text."""

import io
from collections.abc import Set

import pandas as pd

from supervision.crystals import DatasetError


def parse_table(raw: bytes, source: str, columns: Set[str]) -> pd.DataFrame:
    """The table with every cell as text; lines before the header that begin with # are comments.

    Raises DatasetError, naming ``source``, where it is no table or lacks one of ``columns``.
    """
    while raw.startswith(b"#"):
        raw = raw.partition(b"\n")[2]
    try:
        table = pd.read_csv(io.BytesIO(raw), dtype=str, keep_default_na=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DatasetError(f"{source} is not a CSV table ({error}).") from error
    missing = columns - set(table.columns)
    if missing:
        raise DatasetError(f"{source} lacks the column(s) {', '.join(sorted(missing))}.")
    return table
