"""Which model is meant: by default the best champion; else a registered name, a URI or a folder."""

from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from supervision.runtime.errors import one_line
from tracking.serving.champion import CHAMPION, Candidate
from tracking.serving.registry import alias_holder, best_version

TRAIN_FIRST = "train one with `python -m entrypoints.train_composition`"
SQLITE = "sqlite:///"


class ModelError(ValueError):
    """A model that is not available; the message is one sentence that says what to do."""


class ModelChoice(NamedTuple):
    """The URI or folder of a model, and why it is used; empty where the user named it."""

    location: str
    reason: str


def choose_model(model: str | Path | None = None) -> ModelChoice:
    """The model that a name, a URI or a folder means; by default the best of all champions.

    Raises ModelError where there is none.
    """
    if model and (Path(model).is_dir() or ":/" in str(model)):
        return ModelChoice(str(model), "")
    if not store_exists():
        raise ModelError(_nothing_registered())
    try:
        return _registered(str(model)) if model else _best()
    except MlflowException as error:
        raise ModelError(
            f"The model registry at {mlflow.get_tracking_uri()} cannot be read ({one_line(error)})."
        ) from error


def store_exists() -> bool:
    """Whether the tracking store is there; MLflow would create an empty SQLite file."""
    uri = mlflow.get_tracking_uri()
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).is_file()


def _best() -> ModelChoice:
    found = best_version(MlflowClient())
    if found is None:
        raise ModelError(_nothing_registered())
    return ModelChoice(f"models:/{found.name}/{found.version}", found.why)


def _registered(name: str) -> ModelChoice:
    """The champion of a registered name, or its best version where it has no champion."""
    client = MlflowClient()
    names = [found.name for found in client.search_registered_models()]
    if name not in names:
        known = f"registered are {', '.join(names)}" if names else "none is registered"
        raise ModelError(
            f"The model '{name}' is neither a folder nor a registered name ({known}), nor a URI."
        )
    if alias_holder(client, name, CHAMPION):
        return ModelChoice(f"models:/{name}@{CHAMPION}", "")
    versions = client.search_model_versions(f"name = '{name}'")
    if not versions:
        raise ModelError(f"The registered model '{name}' has no version; {TRAIN_FIRST}.")
    best = min(versions, key=_rank)
    return ModelChoice(
        f"models:/{name}/{best.version}", f"{name} has no champion; this is its best version."
    )


def _rank(version: ModelVersion) -> tuple[Any, ...]:
    """Sort key: versions that say how they were evaluated first, by the order of champions."""
    candidate = Candidate.of(version)
    preference = candidate.preference if candidate else ()
    return candidate is None, preference, int(version.version)  # an equal one changes nothing


def _nothing_registered() -> str:
    return (
        f"No model is registered in {mlflow.get_tracking_uri()}: {TRAIN_FIRST}, name a model "
        "folder, or set MLFLOW_TRACKING_URI to the store that has one."
    )
