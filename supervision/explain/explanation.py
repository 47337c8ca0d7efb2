"""Why a model predicts this Tc for one crystal: the answer, and all that explains it.

found = explain(Answerer.load(folder), crystal, graph=graph_model)
write_page(found, Path("explanation.html"))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from supervision.answer.answer import Answer
from supervision.answer.answerer import Answerer
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.explain.contributions import Contributions, contributions
from supervision.explain.doping import DopingSeries, doping_series
from supervision.explain.sites import SiteWorth, site_worth
from supervision.explain.views import ViewHeat, view_heat
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.predictor import SavedPredictor
from supervision.models.vision.predictor import VisionPredictor

Models = dict[str, Any]  # predictors by model family


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer and its reasons; None where a part has no model, or no materials.

    Attributes:
        contributions: of the features, by the trees.
        sites: the worth of the sites, by the graph model.
        views: heat maps, by the vision model.
        series: the measured materials near to the crystal.
    """

    answer: Answer
    contributions: Contributions | None
    sites: SiteWorth | None
    views: ViewHeat | None
    series: DopingSeries | None


def explain(
    answerer: Answerer,
    crystal: Crystal,
    *,
    graph: GraphPredictor | None = None,
    vision: VisionPredictor | None = None,
) -> Explanation:
    """The answer of a model for a crystal, and the reasons by the model: of an ensemble, by its
    members.

    ``graph`` and ``vision`` are further models, or stand in for members; they explain what they
    predict themselves. Raises CrystalError with one sentence for a crystal that cannot be read, and
    ValueError for trees that are not boosted.
    """
    (answer,) = answerer.answer([crystal])
    if answer.error:
        raise CrystalError(answer.error)
    models = models_by_family(answerer.predictor)
    models |= {m.model_family: m for m in (graph, vision) if m is not None}
    trees, known = models.get("structure", models.get("composition")), answerer.known
    return Explanation(
        answer,
        contributions(trees, crystal) if trees else None,
        site_worth(models["graph"], crystal) if "graph" in models else None,
        view_heat(models["vision"], crystal) if "vision" in models else None,
        doping_series(known, crystal, _formula_predictor(models)) if known else None,
    )


def models_by_family(predictor: SavedPredictor) -> Models:
    """The predictor by its family; of an ensemble, the first member of each family."""
    if not isinstance(predictor, EnsemblePredictor):
        return {predictor.model_family: predictor}
    return {m.model_family: m for m in reversed(list(predictor.members.values()))}


def _formula_predictor(models: Models) -> Any:
    """What predicts formulas without a structure: the composition model, or a first stage."""
    if "composition" in models:
        return models["composition"].predict
    return models["structure"].composition.predict if "structure" in models else _unknown


def _unknown(crystals: Sequence[Crystal]) -> np.ndarray:
    return np.full(len(crystals), np.nan)
