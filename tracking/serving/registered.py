"""What is registered in the store: the best model of all, and a model by its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from supervision.answer.loaded import ModelError
from supervision.runtime.errors import one_line
from tracking.serving.champion import CHAMPION, Candidate
from tracking.serving.registry import BestVersion, alias_holder, best_version

TRAIN_FIRST = "train one with `python -m entrypoints.train_composition`"
SQLITE = "sqlite:///"


def best() -> BestVersion | None:
    """The best of all champions; None where no model is registered, or there is no store."""
    if not store_exists():
        return None
    with _reading():
        return best_version(MlflowClient())


def named(name: str) -> tuple[str, str]:
    """The URI of a registered name's champion, or of its best version and a sentence that says so.

    Raises ModelError where no model has this name.
    """
    if not store_exists():
        raise nothing_registered()
    with _reading():
        client = MlflowClient()
        names = [found.name for found in client.search_registered_models()]
        if name not in names:
            known = f"registered are {', '.join(names)}" if names else "none is registered"
            raise ModelError(
                f"The model '{name}' is neither a folder nor a registered name ({known}), nor a "
                "URI."
            )
        if alias_holder(client, name, CHAMPION):
            return f"models:/{name}@{CHAMPION}", ""
        versions = client.search_model_versions(f"name = '{name}'")
    if not versions:
        raise ModelError(f"The registered model '{name}' has no version; {TRAIN_FIRST}.")
    number = min(versions, key=_rank).version
    return f"models:/{name}/{number}", f"{name} has no champion; this is its best version."


def store_exists() -> bool:
    """Whether the tracking store is there; MLflow would create an empty SQLite file."""
    uri = mlflow.get_tracking_uri()
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).is_file()


def nothing_registered() -> ModelError:
    """The error of a store without models."""
    return ModelError(
        f"No model is registered in {mlflow.get_tracking_uri()}: {TRAIN_FIRST}, name a model "
        "folder, or set MLFLOW_TRACKING_URI to the store that has one."
    )


def _rank(version: ModelVersion) -> tuple[Any, ...]:
    """Sort key: versions that say how they were evaluated first, by the order of champions."""
    candidate = Candidate.of(version)
    preference = candidate.preference if candidate else ()
    return candidate is None, preference, int(version.version)  # an equal one changes nothing


@contextmanager
def _reading() -> Iterator[None]:
    """Within, a registry that cannot be read is a ModelError."""
    try:
        yield
    except MlflowException as error:
        raise ModelError(
            f"The model registry at {mlflow.get_tracking_uri()} cannot be read ({one_line(error)})."
        ) from error
