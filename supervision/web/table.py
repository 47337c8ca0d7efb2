"""The CSV table of the page: the answers that it has, as ``predict --out`` writes them."""

from collections.abc import Mapping
from typing import Any

from supervision.answer.answer import Answer
from supervision.answer.csv_table import csv_lines, prediction_cells, prediction_columns
from supervision.data.quantity import Quantity
from supervision.web.errors import RefusedError


def answers_csv(content: Mapping[str, Any], quantity: Quantity) -> str:
    """The table of a body with ``rows`` as ``/predict`` gives them, of answers for a quantity.

    Raises RefusedError with one sentence for other rows.
    """
    own = {"quantity": quantity.name, "unit": quantity.unit}
    try:
        answers = [Answer.of_row({**own, **row}) for row in content["rows"]]
        return csv_lines([prediction_columns(quantity), *map(prediction_cells, answers)])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(400, "The body must have 'rows' as /predict gives them.") from error
