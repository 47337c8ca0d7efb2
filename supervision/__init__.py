"""Critical temperatures of superconductors from their crystal structures.

import supervision
model = supervision.load()
model.predict(structure)
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervision.answer.loaded import LoadedModel

__all__ = ["load"]


def load(model: str | Path | None = None, *, fast: bool = False) -> "LoadedModel":
    """A model that predicts Tc; by default your best champion, or else the released model.

    Args:
        model: a registered name, a model URI (``models:/NAME@champion``, ``runs:/ID/model``), a
            folder (an MLflow model, a saved predictor, or a training without MLflow) or
            ``released:NAME``, a model that comes with the package.
        fast: the released model that loads and answers soonest, instead of ``model``.

    Champions are in the store that MLflow uses: ``MLFLOW_TRACKING_URI`` or, in the current folder,
    ``mlflow.db``. The released model answers where no store is there, where no model is registered
    in it, and where the best one is a demonstration (trained on ``classics``); ``summary()`` of the
    model says so. Raises ValueError with one sentence where there is no such model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries when they are imported
        from tracking.serving.models import load_model
    return load_model(model, fast=fast)
