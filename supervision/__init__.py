"""Critical temperatures of superconductors from their crystal structures.

import supervision
model = supervision.load()
model.predict(structure)
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervision.answer.loaded import LoadedModel
    from supervision.screening.outcome import Screening

__all__ = ["load", "screen"]


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


def screen(
    source: str | Path,
    out: str | Path = "screening",
    model: str | Path | None = None,
    **settings: Any,
) -> "Screening":
    """Rank the structures of a source by the Tc that a model predicts; docs/screening.md.

    An interrupted screening goes on when it is called again with the same arguments. In a script,
    call it below ``if __name__ == "__main__":``, as it starts processes.

    Args:
        source: a folder, a tar or zip archive, a Parquet table, an extxyz file, an ASE database,
            an OPTIMADE JSONL file or the address of an OPTIMADE database.
        out: the folder for shards, answers, ranking and report.
        model: as for ``load``.
        settings: options of the command ``screen``, such as ``workers=4`` or ``max_hull=0.05``.

    Returns the counts and the folder. Raises ValueError or RuntimeError with one sentence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries when they are imported
        from supervision.screening.screen import configs_of
        from supervision.screening.screen import screen as screen_source
        from tracking.serving.models import find_model
    return screen_source(str(source), Path(out), find_model(model), *configs_of(settings))
