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
    from supervision.design.doping.dope import DopingResult
    from supervision.design.substitutions.found import Found
    from supervision.screening.outcome import Screening

__all__ = ["dope", "invert", "load", "screen", "substitute"]


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


def dope(
    structure: Any, replace: str, model: str | Path | None = None, **settings: Any
) -> "DopingResult":
    """Tc of a crystal against the fraction of a dopant, or over those of two; docs/design.md.

    Args:
        structure: one structure, as ``predict`` takes it.
        replace: ``HOST:DOPANT``, such as ``La:Sr``; two by a comma for a map.
        model: as for ``load``.
        settings: options of the command ``dope``: ``max_fraction``, ``points``.

    Returns the points, which print as a table and have ``plot()``. Raises ValueError with one
    sentence.
    """
    from supervision.design.doping.dope import DopeOptions
    from supervision.design.doping.dope import dope as dope_by

    return dope_by(load(model), structure, DopeOptions(replace, **settings))


def substitute(
    parents: Any,
    above: float = 20.0,
    model: str | Path | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> "Found":
    """Replacements of elements in crystals for a Tc that is likely above one; docs/design.md.

    Args:
        parents: the path of a structure file, folder, table or archive; or structures, as
            ``predict`` takes them.
        above: in kelvin; candidates are ranked by the probability of a higher Tc.
        model: as for ``load``.
        out: a new or empty folder for the ranking, the figure and CIF files; None: none is written.
        settings: options of the command ``substitute``, such as ``replacements=2``.

    Returns the hits, which print as a ranked table. Raises ValueError with one sentence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries when they are imported
        from supervision.design.substitutions.goals import HighTc
        from tracking.substitution_search import search_given
    return search_given(parents, HighTc(above), model, out, settings)


def invert(
    parents: Any,
    tc: float,
    model: str | Path | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> "Found":
    """Replacements of elements in crystals for a predicted Tc near to a target; docs/design.md.

    Args:
        tc: the target in kelvin; the 90% interval of each hit contains it.

    The other arguments, what is returned and what is raised are those of ``substitute``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries when they are imported
        from supervision.design.substitutions.goals import TargetTc
        from tracking.substitution_search import search_given
    return search_given(parents, TargetTc(tc), model, out, settings)
