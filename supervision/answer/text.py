"""Answers as text: a table that fits a terminal, with remarks and errors below it."""

import math
from collections.abc import Sequence
from textwrap import wrap

from supervision.answer.answer import Answer
from supervision.answer.kelvin import UNKNOWN, kelvin
from supervision.data.quantity import TC, Quantity
from supervision.runtime.text import printable

WIDTH = 100  # columns of a terminal
CHANCES = ("P(sc)", ">10", ">20", ">40")
TEXT_COLUMNS = {0: 22, 1: 18, -1: 26}  # the widest that they may be before the others have space
LEFT = {0, 1, -2, -1}
LISTED = 3  # the most names of rows that share a remark


def answers_text(answers: Sequence[Answer], width: int = WIDTH) -> str:
    """A table of a model's answers, a row each, and below it remarks and errors of rows.

    P(sc) is the probability that it superconducts; the next columns are those of a Tc above so
    many kelvin.
    """
    folder = _common_folder([answer.name for answer in answers])
    header = _header(answers[0].quantity if answers else TC)
    rows = [header, *(_cells(answer, folder) for answer in answers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for column, widest in TEXT_COLUMNS.items():
        widths[column] = min(widths[column], widest)
    while sum(widths) + 2 * (len(widths) - 1) > width:  # take from the widest text column
        widest = max(TEXT_COLUMNS, key=lambda column: widths[column])
        widths[widest] -= 1
    lines = [_line(row, widths) for row in rows]
    return "\n".join([*lines, *_notes(answers, folder)])


def _header(quantity: Quantity) -> tuple[str, ...]:
    interval = f"90% ({quantity.unit})" if quantity.unit else "90%"
    chances = CHANCES if quantity.is_tc else ()
    return ("structure", "formula", quantity.label, interval, *chances, "domain", "nearest known")


def _common_folder(names: Sequence[str]) -> str:
    """The folder that all files are in, with its slash; empty where there is no such folder."""
    folders = {"".join(name.rpartition("/")[:2]) for name in names}
    return folders.pop() if len(folders) == 1 else ""


def _cells(answer: Answer, folder: str) -> tuple[str, ...]:
    probabilities = (
        answer.p_superconducting, answer.p_above_10, answer.p_above_20, answer.p_above_40,
    )  # fmt: skip
    chances = [f"{p:.0%}" if math.isfinite(p) else UNKNOWN for p in probabilities]
    return (
        printable(answer.name.removeprefix(folder)),
        answer.formula or UNKNOWN,
        kelvin(answer.tc_kelvin, answer.decimals),
        interval_text(answer),
        *(chances if answer.quantity.is_tc else ()),
        answer.domain or UNKNOWN,
        nearest_text(answer),
    )


def interval_text(answer: Answer) -> str:
    """The 90% interval without its unit; a dash where it is not known."""
    low, high = (kelvin(t, answer.decimals) for t in (answer.tc_lower, answer.tc_upper))
    return UNKNOWN if UNKNOWN in (low, high) else f"{low} to {high}"


def nearest_text(answer: Answer) -> str:
    """The nearest material with its value; a dash where none is known."""
    near = answer.nearest[0] if answer.nearest else None
    value = answer.quantity.with_unit(f"{near.tc_kelvin:.3g}") if near else ""
    return f"{value} {near.formula}" if near else UNKNOWN


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left = {i % len(row) for i in LEFT}
    cells = [
        _shortened(cell, width, i).ljust(width) if i in left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _shortened(text: str, width: int, column: int) -> str:
    """A long text without its end; a long name without its middle, as it ends in the suffix."""
    if len(text) <= width:
        return text
    end = width // 2 if column == 0 else 0
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def _notes(answers: Sequence[Answer], folder: str) -> list[str]:
    """Each remark once, with the rows that share it, and then each error, wrapped into lines."""
    named = [(printable(answer.name.removeprefix(folder)), answer) for answer in answers]
    sharing: dict[str, list[str]] = {}
    for name, answer in named:
        for remark in answer.remarks:
            sharing.setdefault(remark, []).append(name)
    said = [f"{_listed(names)}: {remark}" for remark, names in sharing.items()]
    said += [f"{name}: {printable(answer.error)}" for name, answer in named if answer.error]
    wrapped = [line for text in said for line in wrap(text, WIDTH, subsequent_indent="  ")]
    return ["", *wrapped] if said else []


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence; of many, the first."""
    if len(names) <= LISTED:
        return ", ".join(names)
    return f"{', '.join(names[: LISTED - 1])} and {len(names) - LISTED + 1} others"
