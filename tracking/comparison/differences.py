"""Which of several models is better on the same materials, and whether that is shown.

A difference is shown where the 95% interval of the paired bootstrap excludes zero. The bootstrap is
over what the split keeps together: materials on ``random``, families on ``family`` and ``novel``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

from supervision.evaluation.metrics import paired_bootstrap
from supervision.models.families import family_names, get_family
from tracking.comparison.results import Result
from tracking.evaluation_report import CONSTANT, FAMILY_MEAN, NEAREST

BASELINE_FAMILY = "composition"  # the model family that all others are compared with
TRIVIAL_BASELINES = (CONSTANT, FAMILY_MEAN, NEAREST)


@dataclass(frozen=True)
class Difference:
    """MAE of one model minus that of another on the same materials, K, with its 95% interval."""

    one: str
    other: str
    difference: float
    low: float
    high: float
    p: float

    @property
    def is_shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def text(self) -> str:
        """The difference with its interval."""
        return f"{self.difference:+.2f} K, {self.low:+.2f} to {self.high:+.2f}"


def difference(one: Result, other: Result) -> Difference:
    """MAE of ``one`` minus that of ``other`` on the test materials of their split."""
    tc = one.test["tc"].to_numpy()
    predicted = (result.test["tc_pred"].to_numpy() for result in (one, other))
    paired = paired_bootstrap(tc, *predicted, groups=one.groups)
    return Difference(one.name, other.name, **paired)


def all_differences(results: Sequence[Result], split: str) -> list[Difference]:
    """Every pair of models of a split, then each model and its trivial baselines."""
    models = ranked(results, split)
    found = [difference(one, other) for one, other in combinations(models, 2)]
    for model in models:
        for row in baseline_rows(model):
            found.append(difference_from_baseline(model, row, str(row["predictor"])))
    return found


def difference_from_baseline(model: Result, row: Mapping[str, float], name: str) -> Difference:
    """MAE of a model minus that of a trivial baseline, from a row of ``baseline_rows``."""
    keys = ("difference", "low", "high", "p")
    return Difference(model.name, name, *(float(row[f"model_minus_null_{key}"]) for key in keys))


def baseline_rows(result: Result) -> list[dict]:
    """The errors of the trivial baselines that the model's run logged; none for a file."""
    if result.comparison.empty:
        return []
    rows = result.comparison[result.comparison["predictor"].isin(TRIVIAL_BASELINES)]
    return rows.to_dict("records")


def first_baseline_rows(models: Sequence[Result]) -> list[dict]:
    """Those of the first model that has them: they are the same for all models of a split."""
    return next((rows for model in models if (rows := baseline_rows(model))), [])


def ranked(results: Sequence[Result], split: str) -> list[Result]:
    """The models of a split, the lowest test MAE first."""
    models = [r for r in results if r.split == split]
    return sorted(models, key=lambda r: (r.test["tc"] - r.test["tc_pred"]).abs().mean())


def splits_of(results: Sequence[Result]) -> list[str]:
    """The splits, in the order of their first run."""
    return list(dict.fromkeys(result.split for result in results))


def names_of(results: Sequence[Result]) -> list[str]:
    """The models of all splits, each once: by the order of the first split, then of the others."""
    order = [model.name for split in splits_of(results) for model in ranked(results, split)]
    return list(dict.fromkeys(order))


def best_on_validation(models: Sequence[Result]) -> Result | None:
    """The model of lowest validation MAE: test materials choose nothing."""
    evaluated = [model for model in models if "val_mae_final" in model.metrics]
    return min(evaluated, key=lambda model: model.metrics["val_mae_final"], default=None)


def of_family(models: Sequence[Result], model_family: str) -> list[Result]:
    """The models of one family."""
    return [model for model in models if model.kind.model_family == model_family]


def best_of_families(models: Sequence[Result]) -> dict[str, Result]:
    """Model family -> its best model on validation; families in their order of display."""
    found = {name: best_on_validation(of_family(models, name)) for name in family_names()}
    return {name: best for name, best in found.items() if best is not None}


@cache
def has_epochs(model_family: str) -> bool:
    """Whether models of this family learn epoch by epoch from pretrained weights."""
    return model_family in family_names() and get_family(model_family).has_epochs


def mean_of(one: Result, other: Result) -> Result:
    """The plain mean of two models' predictions, under the name and kind of ``one``."""
    tc_pred = (one.test["tc_pred"] + other.test["tc_pred"]) / 2
    return replace(one, test=one.test.assign(tc_pred=tc_pred))
