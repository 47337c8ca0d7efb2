"""Tables as Markdown."""

import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """The table with its first column aligned to the left, and cells shown as they are."""
    align = ("left", *["right"] * (table.columns.size - 1))
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=align))
