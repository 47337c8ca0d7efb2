"""Which model is meant: a released one, a registered name, a URI or a folder; and the default.

MLflow is imported where its store is asked, as a released model answers without it.
"""

import os
from pathlib import Path
from typing import NamedTuple

from supervision.answer import released
from supervision.answer.loaded import DEMONSTRATION_DATASET, ModelError

STORE_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
STORE_FILE = "mlflow.db"  # MLflow's default store, in the current folder


class ModelChoice(NamedTuple):
    """The model that is meant.

    Attributes:
        location: its URI or folder, or ``released:NAME``.
        reason: why it is used, one sentence; empty where the user named it.
    """

    location: str
    reason: str


def choose_model(model: str | Path | None = None, *, fast: bool = False) -> ModelChoice:
    """The model that a name, a URI or a folder means; without one, the default.

    The default is the best of all champions. The released one takes its place where no model is
    registered, and where the best is a demonstration.

    Args:
        fast: the released fast model; with a model as well there is a ModelError.

    Raises ModelError where there is no such model.
    """
    if fast and model:
        raise ModelError(f"fast is a released model: leave out fast, or the model {model}.")
    if fast:
        return ModelChoice(released.PREFIX + released.fast_name(), "")
    if not model:
        return _default()
    if str(model).startswith(released.PREFIX) or Path(model).is_dir() or ":/" in str(model):
        return ModelChoice(str(model), "")
    from tracking.serving.registered import named

    return ModelChoice(*named(str(model)))


def _default() -> ModelChoice:
    has_released = bool(released.released_names())
    if has_released and not _has_store():
        return _released_default(
            f"there is no {STORE_FILE} in this folder, and MLFLOW_TRACKING_URI names no other store"
        )
    from tracking.serving import registered

    best = registered.best()
    if best and not (has_released and best.dataset == DEMONSTRATION_DATASET):
        return ModelChoice(f"models:/{best.name}/{best.version}", best.why)
    if not has_released:
        raise registered.nothing_registered()
    return _released_default(
        f"the best registered model, {best.name}, is a demonstration (--model {best.name} or "
        f'load("{best.name}") uses it)'
        if best
        else "no model is registered in the tracking store"
    )


def _released_default(why: str) -> ModelChoice:
    reason = f"The released default answers: {why}."
    return ModelChoice(released.PREFIX + released.default_name(), reason)


def _has_store() -> bool:
    """Whether the environment names a tracking store, or the current folder has one."""
    return any(map(os.environ.get, STORE_VARIABLES)) or Path(STORE_FILE).exists()
