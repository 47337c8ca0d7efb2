"""Models that MLflow has logged: they answer by the code that they carry."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from supervision.answer.answer import Answer
from supervision.answer.answerer import known_in
from supervision.answer.loaded import (
    Ask,
    LoadedModel,
    dataset_of,
    load_saved,
    loading,
    quantity_of,
    saved_in,
)
from supervision.data.structure_inputs import StructureInput
from supervision.models.predictor import CONFIG_FILE
from tracking.description import NOTE_TAG, result_in
from tracking.serving.downloads import download
from tracking.serving.model_code import ModelCode
from tracking.serving.registered import store_exists

ROW_PREFIX = re.compile(r"Row \d+: ")  # before the error of a model of an earlier version


def load_logged(location: str, reason: str) -> LoadedModel:
    """The model at a URI or in a folder; it answers by the code that it was logged with.

    Raises ModelError with one sentence where there is none.
    """
    folder = _local_copy(location)
    if saved := saved_in(folder):
        return load_saved(saved._replace(location=location), reason)
    with loading(location, MlflowException):
        ask, run_id = _open(folder)
        return LoadedModel(
            location, reason, _description(run_id), dataset_of(folder), ask,
            known_in(_predictor_folder(folder)), quantity_of(folder),
        )  # fmt: skip


class LoggedPredictor(NamedTuple):
    """The saved predictor of a model that MLflow logged.

    Attributes:
        folder: of the predictor.
        note: what the run that trained it says of it, in Markdown; empty where that is not known.
    """

    folder: Path
    note: str


def find_logged(location: str) -> LoggedPredictor:
    """The predictor in the model at a URI or in a folder.

    Raises ModelError with one sentence where there is no model.
    """
    folder = _local_copy(location)
    if saved := saved_in(folder):
        return LoggedPredictor(saved.folder, "")
    with loading(location, MlflowException):
        run_id = mlflow.models.Model.load(str(folder)).run_id or ""
    return LoggedPredictor(_predictor_folder(folder), _tags(run_id).get(NOTE_TAG, ""))


def _predictor_folder(folder: Path) -> Path:
    """Where the predictor is in the folder of a model that MLflow logged."""
    return next(folder.glob(f"artifacts/*/{CONFIG_FILE}"), folder / CONFIG_FILE).parent


def _local_copy(location: str) -> Path:
    with loading(location, MlflowException):
        return Path(location) if Path(location).is_dir() else download(location)


def _open(folder: Path) -> tuple[Ask, str]:
    """The function that answers for the model in a folder, and the id of its run if it has one."""
    code = ModelCode()
    with code.active():
        model = mlflow.pyfunc.load_model(str(folder))

    def ask(inputs: Sequence[StructureInput]) -> list[Answer]:
        """A model of an earlier version refuses the whole request for one bad row."""
        with code.active():
            try:
                found: Any = model.predict(pd.DataFrame([_columns(given) for given in inputs]))
            except MlflowException as error:
                if len(inputs) > 1:
                    return [answer for given in inputs for answer in ask([given])]
                return [Answer("", error=ROW_PREFIX.sub("", str(error)))]
        rows: Any = found.to_dict("records") if isinstance(found, pd.DataFrame) else found
        return [Answer.of_row({"name": "", **row}) for row in rows]

    return ask, model.metadata.run_id or ""


def _columns(given: StructureInput) -> dict[str, str]:
    """A row of a request; models of earlier versions know no other column than ``cif``."""
    return {"cif": given.cif} | ({"formula": given.formula} if given.formula else {})


def _description(run_id: str) -> str:
    """Name and test error of the run that trained the model; empty where the store lacks it."""
    tags = _tags(run_id)
    result = result_in(tags.get(NOTE_TAG, ""))  # none: it ended before its test
    return f"{tags['mlflow.runName']}: {result}" if result else ""


def _tags(run_id: str) -> dict[str, str]:
    """The tags of a run; none where the store lacks it."""
    if not run_id or not store_exists():
        return {}
    try:
        return dict(mlflow.get_run(run_id).data.tags)
    except MlflowException:
        return {}
