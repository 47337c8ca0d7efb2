"""Bodies of requests: JSON text -> rows to predict, or one structure."""

import json
from collections.abc import Mapping
from typing import Any

from supervision.data.crystals import Crystal
from supervision.data.structure_files import structure_text_to_cif
from supervision.runtime.text import printable
from supervision.web.errors import RefusedError

MAX_NAME = 200  # characters of the name of a structure


def parse_json(body: bytes) -> dict[str, Any]:
    """The object in a body. Raises RefusedError with one sentence for anything else."""
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise RefusedError(400, "The JSON text is nested too deeply.") from None
    except ValueError:  # of UTF-8, JSON, and integers of thousands of digits
        raise RefusedError(400, "The body is not JSON text in UTF-8.") from None
    if not isinstance(content, dict):
        raise RefusedError(400, 'The body must be a JSON object, such as {"dataframe_split": …}.')
    return content


def rows_to_predict(content: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a body as MLflow's /invocations takes it, and whether it is strict.

    Raises RefusedError with one sentence for another body.
    """
    given = [key for key in ("dataframe_split", "dataframe_records") if key in content]
    if len(given) != 1:
        raise RefusedError(
            400, "The body must have either 'dataframe_split' or 'dataframe_records'."
        )
    rows = _split_rows if given == ["dataframe_split"] else _record_rows
    return rows(content[given[0]]), _is_strict(content.get("params") or {})


def crystal_of(content: Mapping[str, Any]) -> Crystal:
    """The structure in a body with ``name`` and ``text`` (CIF or POSCAR).

    Raises RefusedError without a text, and CrystalError for one that is neither.
    """
    cif = structure_text_to_cif(text_field(content, "text"))
    return Crystal(text_field(content, "name")[:MAX_NAME] or "structure", "", cif)


def text_field(content: Mapping[str, Any], name: str) -> str:
    """The text under a name. Raises RefusedError where it is missing or is no text."""
    value = content.get(name)
    if not isinstance(value, str):
        raise RefusedError(400, f"The body must have a text '{name}'.")
    return value


def number_field(content: Mapping[str, Any], name: str) -> float:
    """The number under a name. Raises RefusedError where it is missing or is no number."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(400, f"The body must have a number '{name}'.")
    return float(value)


def _is_strict(params: Any) -> bool:
    if not isinstance(params, dict) or not isinstance(params.get("strict", False), bool):
        raise RefusedError(400, "'params' must be an object, and its 'strict' true or false.")
    if unknown := sorted(params.keys() - {"strict"}):
        raise RefusedError(
            400, f"'params' has an unknown '{printable(unknown[0][:MAX_NAME])}'; it takes 'strict'."
        )
    return bool(params.get("strict", False))


def _split_rows(table: Any) -> list[dict[str, Any]]:
    found: dict[str, Any] = table if isinstance(table, dict) else {}
    columns, data = found.get("columns"), found.get("data")
    if not isinstance(columns, list) or not isinstance(data, list) or not _are(str, columns):
        raise RefusedError(
            400, "'dataframe_split' must have 'columns', a list of names, and 'data', a list."
        )
    if not _are(list, data) or any(len(row) != len(columns) for row in data):
        raise RefusedError(400, "Each row in 'data' must have one value for each of 'columns'.")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _record_rows(records: Any) -> list[dict[str, Any]]:
    if not isinstance(records, list) or not _are(dict, records):
        raise RefusedError(400, "'dataframe_records' must be a list of objects.")
    return [dict(record) for record in records]


def _are(kind: type, values: list[Any]) -> bool:
    return all(isinstance(value, kind) for value in values)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
