"""The served model, which is logged as this file: CIF texts or formulas in, answers out.

MLflow runs this file when it loads the model (models from code), with the model's own copy of the
``supervision`` package on the path; nothing is pickled.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from supervision.answer.answerer import Answerer
from supervision.data.crystals import Crystal
from supervision.runtime.heap import limit_malloc_arenas, trim_heap

COLUMNS = ("cif", "formula")  # of which a row needs one


class TcModel(PythonModel):
    """Wraps a saved model; a bad row is an answer with an error of one sentence."""

    answerer: Answerer

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model that was logged."""
        limit_malloc_arenas()
        self.answerer = Answerer.load(Path(context.artifacts["predictor"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """A table with a column ``cif`` or ``formula`` -> the answer for each row, in their order.

        A column ``id`` names the rows. With ``params={"strict": True}``, and for a table without
        the columns or rows, it raises MlflowException (status 400 over REST).
        """
        if not any(column in model_input.columns for column in COLUMNS):
            raise MlflowException.invalid_parameter_value(
                "The input has no column 'cif'; send the text of a CIF file under that name."
            )
        if model_input.empty:
            raise MlflowException.invalid_parameter_value("The input has no rows.")
        try:
            answers = self.answerer.answer(_crystals(model_input))
        finally:
            trim_heap()
        failed = [answer for answer in answers if answer.error]
        if failed and (params or {}).get("strict"):
            raise MlflowException.invalid_parameter_value(f"{failed[0].name}: {failed[0].error}")
        return [answer.to_row() for answer in answers]


def _crystals(table: pd.DataFrame) -> list[Crystal]:
    ids, cifs, formulas = (_values(table, column) for column in ("id", *COLUMNS))
    return [
        Crystal(str(id) or f"Row {row}", formula, cif)
        for row, (id, formula, cif) in enumerate(zip(ids, formulas, cifs, strict=True))
    ]


def _values(table: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column; empty where one is missing. What is no text is refused later."""
    if column not in table.columns:
        return [""] * len(table)
    return ["" if pd.api.types.is_scalar(v) and pd.isna(v) else v for v in table[column]]


mlflow.models.set_model(TcModel())
