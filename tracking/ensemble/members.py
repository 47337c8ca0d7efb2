"""The members of an ensemble: which models they are, their runs, and their predictions."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from supervision.answer.domain import DOMAINS
from supervision.data.sources import SOURCES
from supervision.experiment.sources import require_structures
from supervision.experiment.spec import Experiment
from supervision.models.families import ModelFamily, default_configs, get_family
from supervision.models.setup import MakeSetup
from tracking import runs
from tracking.child_training import train_child
from tracking.comparison.results import Result

# Name -> model family, and options of its training. Trees are calibrated. Models of ranks order
# materials of low Tc. Of networks the head alone is trained, which takes minutes.
MEMBERS: dict[str, tuple[str, dict[str, str]]] = {
    "composition": ("composition", {"model": "boosting", "calibrate": "true"}),
    "extra_trees": ("composition", {"model": "extra_trees", "calibrate": "true"}),
    "structure": ("structure", {"model": "boosting", "calibrate": "true"}),
    "ranks": ("structure", {"model": "boosting", "calibrate": "true", "target": "rank"}),
    "graph": ("graph", {"adapt": "linear"}),
    "vision": ("vision", {"adapt": "linear"}),
}
DEFAULT_MEMBERS = "composition,extra_trees,structure"
EXPERIMENT_OPTIONS = (
    "dataset", "data", "split", "apart", "folds", "limit", "seed", "allow_loss",
)  # fmt: skip
KEYS = ["material_id", "split", "fold"]


def check_members(names: Sequence[str], *, option: str = "members") -> None:
    """Raise ValueError for no name, and for one that is unknown or there twice, naming it."""
    if not names:
        raise ValueError(f"{option} is empty: name at least one of {', '.join(MEMBERS)}.")
    for name in names:
        if name not in MEMBERS:
            raise ValueError(f"{option}: '{name}' is not one of {', '.join(MEMBERS)}.")
        if names.count(name) > 1:
            raise ValueError(f"{option} names {name} twice.")


def train_member(name: str, experiment: Experiment) -> str:
    """The run of a member; what is not trained yet is trained below the active run."""
    model_family, settings = MEMBERS[name]
    family = get_family(model_family)
    options = {key: getattr(experiment, key) for key in EXPERIMENT_OPTIONS}
    options |= _sources(family, experiment) | settings | {"register": False}
    if family.has_epochs:
        options["parallel"] = experiment.parallel
    return train_child(family, options, name=name, tags={})


def untrained_member(
    name: str, experiment: Experiment, weights: str, device: str, **settings: str
) -> MakeSetup:
    """What makes the untrained model of a member, with further settings.

    Raises ValueError where the model cannot learn from a source of the experiment.
    """
    model_family, own = MEMBERS[name]
    family = get_family(model_family)
    if not family.learns_from_formulas:
        require_structures(experiment.sources, family.name)
    configs = default_configs(family, experiment.dataset, experiment.seed, {**own, **settings})
    return partial(family.setup, weights, device, *configs)


def member_predictions(members: Mapping[str, Result]) -> pd.DataFrame:
    """The predictions of all members: a row per material, part and fold, a column per member.

    The ``domain`` is that of the member that knows most of the material.

    Raises ValueError for a run without the columns that this version logs.
    """
    tables = {name: _predictions(result.id) for name, result in members.items()}
    (first, joined), *_ = tables.items()
    joined = joined.rename(columns={"tc_pred": first})
    for name, table in tables.items():
        if not table.index.equals(joined.index):
            raise ValueError(f"The runs of {first} and {name} predict different materials.")
        joined[name] = table["tc_pred"]
    codes = [table["domain"].map(DOMAINS.index) for table in tables.values()]
    joined["domain"] = pd.concat(codes, axis=1).min(axis=1).map(DOMAINS.__getitem__)
    return joined.reset_index()


def _predictions(run: str) -> pd.DataFrame:
    table = runs.read_table(run, "predictions.csv")
    if "domain" not in table.columns:
        raise ValueError(f"Run {run} is of an earlier version: train this model again.")
    fold = table["fold"] if "fold" in table.columns else 1
    return table.assign(fold=fold).set_index(KEYS).sort_index()


def _sources(family: ModelFamily, experiment: Experiment) -> dict[str, Any]:
    """The options for the sources that a family can read."""
    readable = [
        source
        for source in experiment.sources
        if family.learns_from_formulas or SOURCES[source.name].has_structures
    ]
    return {
        "extra": ",".join(source.name for source in readable),
        "extra_data": ",".join(f"{s.name}={s.data}" for s in readable if s.data),
        "extra_weights": ",".join(f"{s.name}={s.weight:g}" for s in readable if s.weight != 1),
    }
