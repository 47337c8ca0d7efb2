"""Answers as cells of a CSV table."""

import math
from typing import Any

from supervision.answer.answer import Answer
from supervision.runtime.text import csv_cell

NUMBERS = (
    "tc_lower", "tc_upper", "p_superconducting", "p_above_10", "p_above_20", "p_above_40",
)  # fmt: skip
ANSWER_COLUMNS = [
    "formula", *NUMBERS, "domain", "domain_error", "nearest", "remarks", "model_version",
]  # after those of a name and its Tc  # fmt: skip


def answer_cells(answer: Answer) -> list[Any]:
    """The cells of an answer below ``ANSWER_COLUMNS``; empty is what is not known."""
    nearest = "; ".join(f"{n.formula} {n.tc_kelvin:g} K ({n.distance:.3f})" for n in answer.nearest)
    return [
        csv_cell(answer.formula), *(csv_number(getattr(answer, name)) for name in NUMBERS),
        answer.domain, csv_number(answer.domain_error), csv_cell(nearest),
        csv_cell(" ".join(answer.remarks)), csv_cell(answer.model_version),
    ]  # fmt: skip


def csv_number(value: float) -> float | str:
    """A number with all of its digits; empty where it is not known."""
    return "" if math.isnan(value) else value
