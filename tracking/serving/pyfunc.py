"""The served model, which is logged as this file: crystals in, answers out.

MLflow runs this file when it loads the model (models from code), with the model's own copy of the
``supervision`` package on the path; nothing is pickled.
"""

import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from supervision.answer.answerer import Answerer
from supervision.answer.request import RequestError, answer_request
from supervision.answer.warm_up import warm_up
from supervision.runtime.heap import limit_malloc_arenas


class TcModel(PythonModel):
    """Wraps a saved model; a bad row is an answer with an error of one sentence."""

    answerer: Answerer

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model that was logged, and let it answer once."""
        # Threads that spin while they wait take a busy machine thrice as long; set before torch.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        limit_malloc_arenas()
        self.answerer = Answerer.load(Path(context.artifacts["predictor"]))
        warm_up(self.answerer)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """A table with a column ``cif`` or ``formula`` -> the answer for each row, in their order.

        A column ``id`` names the rows. Raises MlflowException (status 400 over REST) where the
        request is refused: see ``answer_request``, whose ``strict`` is that of ``params``.
        """
        strict = bool((params or {}).get("strict"))
        try:
            return answer_request(self.answerer, _rows(model_input), strict=strict)
        except RequestError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows of a table with None for what is missing; an empty one for a table of no columns.

    MLflow leaves out columns that are not in the signature, and pandas then counts no rows.
    """
    if not len(table.columns):
        return [{}]
    table = table.astype(object)
    return table.where(table.notna(), None).to_dict("records")


mlflow.models.set_model(TcModel())
