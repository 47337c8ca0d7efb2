"""The names of an answer's fields in rows, tables and files.

An answer of Tc has the names of ``Answer`` itself. One of a band gap has ``band_gap``,
``band_gap_lower`` and ``band_gap_upper`` with ``quantity`` and ``unit``, and no probabilities.
"""

from collections.abc import Mapping
from typing import Any

from supervision.data.quantity import Quantity

PROBABILITIES = ("p_superconducting", "p_above_10", "p_above_20", "p_above_40")  # of Tc alone
VALUES = {"tc_kelvin": "", "tc_lower": "_lower", "tc_upper": "_upper"}


def named(fields: Mapping[str, Any], quantity: Quantity) -> dict[str, Any]:
    """Fields of an answer, or of a neighbour in it, under the names of their quantity."""
    if quantity.is_tc:
        return dict(fields)
    return {
        column(name, quantity): value for name, value in fields.items() if name not in PROBABILITIES
    }


def fields_of(row: Mapping[str, Any], quantity: Quantity) -> dict[str, Any]:
    """What ``named`` has named, under the names of ``Answer``."""
    fields = {column(name, quantity): name for name in VALUES}
    return {fields.get(name, name): value for name, value in row.items()}


def column(field: str, quantity: Quantity) -> str:
    """The name of one field."""
    is_own = field in VALUES and not quantity.is_tc
    return f"{quantity.name}{VALUES[field]}" if is_own else field
