"""Answers as lines of a CSV table.

The table of predictions has name, value and problem before the other columns of an answer; tables
of rankings have their own first columns.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from supervision.answer.answer import Answer
from supervision.answer.columns import PROBABILITIES, column
from supervision.data.quantity import TC, Quantity
from supervision.runtime.text import csv_cell

BOUNDS = ("tc_lower", "tc_upper")


def prediction_columns(quantity: Quantity = TC) -> list[str]:
    """The columns of a table of predictions."""
    return ["file", column("tc_kelvin", quantity), "problem", *answer_columns(quantity)]


def prediction_cells(answer: Answer) -> list[Any]:
    """The cells of an answer below ``prediction_columns``."""
    first = [csv_cell(answer.name), csv_number(answer.tc_kelvin), csv_cell(answer.error)]
    return first + answer_cells(answer)


def csv_lines(lines: Iterable[Sequence[object]]) -> str:
    """Lines of cells as CSV text."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def answer_columns(quantity: Quantity = TC) -> list[str]:
    """The columns of an answer, after those of a name and of the value."""
    bounds = [column(name, quantity) for name in BOUNDS]
    others = PROBABILITIES if quantity.is_tc else ("unit",)
    return [
        "formula", *bounds, *others, "domain", "domain_error", "nearest", "remarks",
        "model_version",
    ]  # fmt: skip


def answer_cells(answer: Answer) -> list[Any]:
    """The cells of an answer below ``answer_columns``; empty is what is not known."""
    quantity = answer.quantity
    nearest = "; ".join(
        f"{n.formula} {quantity.with_unit(f'{n.tc_kelvin:g}')} ({n.distance:.3f})"
        for n in answer.nearest
    )
    names = (*BOUNDS, *PROBABILITIES) if quantity.is_tc else BOUNDS
    unit = [] if quantity.is_tc else [csv_cell(quantity.unit)]
    return [
        csv_cell(answer.formula), *(csv_number(getattr(answer, name)) for name in names), *unit,
        answer.domain, csv_number(answer.domain_error), csv_cell(nearest),
        csv_cell(" ".join(answer.remarks)), csv_cell(answer.model_version),
    ]  # fmt: skip


def csv_number(value: float) -> float | str:
    """A number with all of its digits; empty where it is not known."""
    return "" if math.isnan(value) else float(value)
