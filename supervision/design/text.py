"""Tables and paragraphs that fit a terminal."""

from collections.abc import Sequence
from textwrap import wrap

from supervision.answer.text import WIDTH


def text_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> str:
    """A table with aligned columns.

    Args:
        left: the columns that begin at the left; the others end at the right.
    """
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (headers, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def paragraph(text: str) -> str:
    """The text in lines of a terminal's width."""
    return "\n".join(wrap(text, WIDTH, break_on_hyphens=False))
