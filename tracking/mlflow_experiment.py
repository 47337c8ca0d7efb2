"""The MLflow experiment of this project: its name, its description, and the columns of its runs."""

import json
import os

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking.fluent import _get_experiment_id

from tracking.description import NOTE_TAG

NAME = "SuperVision"
VIEW = "errors"  # the name of the shared view in links
COLUMNS = (  # the names of runs say the data; the UI shows attributes before the errors
    "metrics.`val_mae_final`",
    "metrics.`test_mae`",
    "metrics.`null_constant_median_test_mae`",
    "params.`split`",
)
DESCRIPTION = (
    "Critical temperatures of superconductors from their crystal structures. "
    "[The runs with the errors that matter]({link})\n\n"
    "A run is a training, a study with its trials below it, a comparison, or a drawing of a data "
    "set. `val_mae_final` is the validation MAE in kelvin as the model is served; it chooses the "
    "champions. `test_mae` is measured once, after training. `null_constant_median_test_mae` is "
    "what a constant scores on the same materials."
)


def experiment_id() -> str:
    """The experiment of new runs: this project's, unless the environment names another one.

    It is created, or restored if it was deleted, where necessary.
    """
    try:
        return _find_or_create()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return _find_or_create()  # another process has created it just now


def _find_or_create() -> str:
    if "MLFLOW_EXPERIMENT_ID" in os.environ or "MLFLOW_EXPERIMENT_NAME" in os.environ:
        return str(_get_experiment_id())
    client = mlflow.MlflowClient()
    known = client.get_experiment_by_name(NAME)
    if known is None:
        return _create(client)
    if known.lifecycle_stage != "active":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


def describe_experiment(experiment: str) -> None:
    """Describe an experiment of this project's name that ``mlflow run`` has created bare."""
    client = mlflow.MlflowClient()
    known = client.get_experiment(experiment)
    if known.name == NAME and "mlflow.experimentKind" not in known.tags:
        _describe(client, experiment)


def _create(client: mlflow.MlflowClient) -> str:
    experiment = str(client.create_experiment(NAME))
    _describe(client, experiment)
    return experiment


def _describe(client: mlflow.MlflowClient, experiment: str) -> None:
    """The UI shows it as model training, and a link in its description opens it with COLUMNS."""
    link = f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
    tags = {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "val_mae_final",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
        f"mlflow.sharedViewState.{VIEW}": json.dumps({"selectedColumns": COLUMNS}),
        NOTE_TAG: DESCRIPTION.format(link=link),
    }
    for name, value in tags.items():
        client.set_experiment_tag(experiment, name, value)
