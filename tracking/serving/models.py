"""A logged model in this process: opened with the code it was logged with, asked for a Tc."""

import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from supervision.data.errors import CrystalError
from supervision.runtime.errors import one_line
from tracking.serving.downloads import passing_folder


class ModelError(ValueError):
    """A model that cannot be had; the message says what to do."""


def open_model(uri: str) -> PyFuncModel:
    """Load a model by its URI or folder. Raises ModelError with one sentence.

    A model carries its own copy of ``supervision``. This process has imported the one beside it
    already, and Python would go on using that: it is put out of the way first, so that the number
    is the one that the server gives, whatever has been edited here since.
    """
    for name in [n for n in sys.modules if n.partition(".")[0] == "supervision"]:
        del sys.modules[name]
    try:
        # a folder is opened where it lies
        to = None if Path(uri).is_dir() else passing_folder()
        return mlflow.pyfunc.load_model(uri, dst_path=to)
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"The model {uri} cannot be loaded ({one_line(error)}); train one first, or name "
            "another with --model."
        ) from error


def story(model: PyFuncModel) -> str:
    """What the run that made the model said of it, in a line; empty where that run is not here."""
    try:
        tags = mlflow.get_run(model.metadata.run_id).data.tags
    except MlflowException:
        return ""
    note = tags.get("mlflow.note.content", "").partition("\n")[0]  # none: it ended before its test
    return f"{tags['mlflow.runName']}: {note}" if note else ""


def predict_tc(model: PyFuncModel, cif: str) -> float:
    """Tc in kelvin of one CIF text. Raises CrystalError with one sentence."""
    try:
        predicted: Any = model.predict(pd.DataFrame({"cif": [cif]}))
        return float(predicted["tc_kelvin"][0])
    except MlflowException as error:
        raise CrystalError(str(error).removeprefix("Row 0: ")) from error
