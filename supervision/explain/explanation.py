"""Why a model predicts this Tc for one crystal: the answer, and all that explains it.

found = explain(Answerer.load(folder), crystal, graph=graph_model)
write_page(found, Path("explanation.html"))

Only the libraries of the models that explain are imported: a graph model needs no LightGBM.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supervision.answer.answer import Answer
from supervision.answer.answerer import Answerer
from supervision.answer.loaded import ModelError
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.explain.doping import DopingSeries, doping_series
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.families import get_family
from supervision.models.predictor import SavedPredictor
from supervision.runtime.text import printable

if TYPE_CHECKING:
    from supervision.explain.contributions import Contributions
    from supervision.explain.sites import SiteWorth
    from supervision.explain.views import ViewHeat

FAMILIES = {  # of the models that explain features, sites and views, the most telling first
    "trees": ("structure", "composition"),
    "graph": ("graph",),
    "vision": ("vision",),
}


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
    contributions: "Contributions | None"
    sites: "SiteWorth | None"
    views: "ViewHeat | None"
    series: DopingSeries | None

    def left_out(self, option: str = "") -> list[str]:
        """Which parts are missing and why, one sentence each.

        ``option`` is added where a further model would help, with its key of ``FAMILIES`` in place
        of ``{}``: `` (--{})`` names the option of the command line.
        """
        models = ("model of boosted trees", "graph model", "vision model")
        trees, graph, vision = (
            f"no {model}{option.format(key)}" for key, model in zip(FAMILIES, models, strict=True)
        )
        if not self.answer.atoms:
            graph = vision = "a formula has none"
        reasons = {
            f"Features: {trees}.": self.contributions,
            f"Sites: {graph}.": self.sites,
            f"Views: {vision}.": self.views,
            "Doping series: the model knows fewer than two measured materials nearby.": self.series,
        }
        return [reason for reason, part in reasons.items() if part is None]


def explain(
    answerer: Answerer,
    crystal: Crystal,
    *,
    trees: SavedPredictor | None = None,
    graph: SavedPredictor | None = None,
    vision: SavedPredictor | None = None,
) -> Explanation:
    """The answer of a model for a crystal, and the reasons by the model: of an ensemble, by its
    members that have answered.

    ``trees``, ``graph`` and ``vision`` are further models, or stand in for members; they explain
    what they predict themselves. Raises CrystalError, naming the crystal, for one that cannot be
    read, and ValueError for ``trees`` that are not boosted and for a model of another quantity.
    """
    answerer.quantity.require_tc("explain")
    (answer,) = answerer.answer([crystal])
    if answer.error:
        raise CrystalError(f"{printable(answer.name)}: {answer.error}")
    predictor, known = answerer.predictor, answerer.known
    given = {"trees": trees, "graph": graph, "vision": vision}
    models = explaining(_answered(predictor, answer))
    models |= {key: model for key, model in given.items() if model}
    return Explanation(
        answer,
        _contributions(models["trees"], crystal) if "trees" in models else None,
        _site_worth(models["graph"], crystal) if "graph" in models else None,
        _view_heat(models["vision"], crystal) if "vision" in models else None,
        doping_series(known, crystal, _formula_reader(predictor)) if known else None,
    )


def members_of(predictor: SavedPredictor) -> Mapping[str, SavedPredictor]:
    """The members of an ensemble by name; of another model, the model itself."""
    return predictor.members if isinstance(predictor, EnsemblePredictor) else {"": predictor}


def explaining(models: Iterable[SavedPredictor]) -> dict[str, SavedPredictor]:
    """Of these models, the first that can explain, by the keys of ``FAMILIES``."""
    models = list(models)
    able = {
        key: [m for family in families for m in models if m.model_family == family and _can(m)]
        for key, families in FAMILIES.items()
    }
    return {key: found[0] for key, found in able.items() if found}


def explaining_model(key: str, name: str, predictor: SavedPredictor) -> SavedPredictor:
    """The model, or of an ensemble the member, that explains what ``key`` of ``FAMILIES`` stands
    for. Raises ModelError, naming the model by ``name``, where none does.
    """
    members = list(members_of(predictor).values())
    found = explaining(members)
    if key not in found:
        families = ", ".join(m.model_family for m in members)
        wanted = "boosted trees" if key == "trees" else f"the family {key}"
        raise ModelError(f"--{key} needs a model of {wanted}, but {name} is of {families}.")
    return found[key]


def _can(model: Any) -> bool:
    """Whether a model of a family that explains can do so: of trees, boosted ones can."""
    return model.model_family in ("graph", "vision") or model.config.model == "boosting"


def _answered(predictor: SavedPredictor, answer: Answer) -> list[SavedPredictor]:
    """The members that have answered: some need a structure."""
    members = members_of(predictor)
    return [m for name, m in members.items() if not math.isnan(answer.members.get(name, 0))]


def _formula_reader(predictor: Any) -> Any:
    """What predicts formulas without a structure: the model, or its first stage; None if nothing
    does.
    """
    members: Any = members_of(predictor).values()
    if any(get_family(m.model_family).predicts_formulas for m in members):
        return predictor.predict
    first_stages = [m.composition.predict for m in members if m.model_family == "structure"]
    return first_stages[0] if first_stages else None


def _contributions(model: Any, crystal: Crystal) -> "Contributions":
    from supervision.explain.contributions import contributions

    return contributions(model, crystal)


def _site_worth(model: Any, crystal: Crystal) -> "SiteWorth":
    from supervision.explain.sites import site_worth

    return site_worth(model, crystal)


def _view_heat(model: Any, crystal: Crystal) -> "ViewHeat":
    from supervision.explain.views import view_heat

    return view_heat(model, crystal)
