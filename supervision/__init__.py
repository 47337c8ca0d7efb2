"""Critical temperatures of superconductors from their crystal structures.

import supervision
model = supervision.load()
model.predict(structure)
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracking.serving.models import LoadedModel

__all__ = ["load"]


def load(model: str | Path | None = None) -> "LoadedModel":
    """A model that predicts Tc; by default the best champion of the tracking store.

    Args:
        model: a registered name, a model URI (``models:/NAME@champion``, ``runs:/ID/model``) or a
            folder (an MLflow model, a saved predictor, or a training without MLflow).

    The store is the one that MLflow uses: ``MLFLOW_TRACKING_URI`` or, in the current folder,
    ``mlflow.db``. Raises ValueError with one sentence where there is no such model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries when they are imported
        from tracking.serving.models import load_model  # MLflow, a served model does not need it
    return load_model(model)
