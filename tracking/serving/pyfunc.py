"""The served model, which is logged as this file: CIF text in, ``tc_kelvin`` out.

MLflow runs this file when it loads the model (models from code), with the model's own copy of the
``supervision`` package on the path; nothing is pickled.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.models.families import load_predictor
from supervision.models.predictor import SavedPredictor
from supervision.runtime.heap import limit_malloc_arenas, trim_heap


class TcModel(PythonModel):
    """Wraps a saved predictor; the error for a bad row is one sentence without a stack trace."""

    predictor: SavedPredictor

    def load_context(self, context: PythonModelContext) -> None:
        """Load the predictor that was logged with the model."""
        limit_malloc_arenas()
        self.predictor = load_predictor(Path(context.artifacts["predictor"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A table with a column ``cif`` -> a table with ``tc_kelvin``, row by row.

        Raises MlflowException (status 400 over REST) that names the first bad row.
        """
        if "cif" not in model_input.columns:
            raise MlflowException.invalid_parameter_value(
                "The input has no column 'cif'; send the text of a CIF file under that name."
            )
        if model_input.empty:
            raise MlflowException.invalid_parameter_value("The input has no rows.")
        crystals = [Crystal(f"Row {row}", "", text) for row, text in enumerate(model_input["cif"])]
        try:
            return pd.DataFrame({"tc_kelvin": self.predictor.predict(crystals)})
        except CrystalError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        finally:
            trim_heap()


mlflow.models.set_model(TcModel())
