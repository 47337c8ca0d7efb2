"""Tables of how well the models rank new families (``supervision.evaluation.discovery``)."""

from collections.abc import Sequence

import pandas as pd

from supervision.evaluation.bootstrap import Groups
from supervision.evaluation.discovery import (
    all_discovery_metrics,
    discovery_intervals,
    paired_discovery,
)
from tracking.comparison.differences import (
    BASELINE_FAMILY,
    best_on_validation,
    of_family,
    ranked,
)
from tracking.comparison.results import Result

TITLES = {
    "spearman": "Spearman",
    "spearman_between": "between families",
    "spearman_within": "within families",
    "ap_10": "AP, 10 K",
    "ap_20": "AP, 20 K",
    "ap_40": "AP, 40 K",
    "enrichment_top5pct_20": "enrichment in the top 5%, 20 K",
    "macro_mae": "MAE per family (K)",
    "msle": "MSLE",
}
PAIRED = ("spearman", "spearman_between", "spearman_within", "ap_10", "ap_20", "ap_40")
EXPLANATION = (
    "Rank correlation of prediction and measurement over all materials, between families (of their "
    "means) and within families of 8 or more. AP: average precision for families with a Tc over "
    "10, 20 or 40 K, ranked by their highest prediction; enrichment: how much more often such a "
    "family is among the first 5% than among all. Intervals are bootstraps over families."
)


def discovery_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """How well each model of a split ranks: one row per model, with intervals over families."""
    rows = []
    for model, families in _models_with_families(results, split):
        tc, tc_pred = model.test["tc"].to_numpy(), model.test["tc_pred"].to_numpy()
        values = all_discovery_metrics(tc, tc_pred, families)
        intervals = discovery_intervals(tc, tc_pred, families)
        cells = {TITLES[name]: _cell(values[name], *intervals[name]) for name in TITLES}
        rows.append({"model": model.name} | cells)
    return pd.DataFrame(rows)


def discovery_pairs(results: Sequence[Result], split: str) -> pd.DataFrame:
    """Each model minus the baseline, the one of the baseline family that is best on validation."""
    models = _models_with_families(results, split)
    baseline = best_on_validation(of_family([model for model, _ in models], BASELINE_FAMILY))
    rows = []
    for model, families in models if baseline else ():
        if baseline is None or model is baseline:
            continue
        paired = paired_discovery(
            model.test["tc"].to_numpy(),
            model.test["tc_pred"].to_numpy(),
            baseline.test["tc_pred"].to_numpy(),
            families,
        )
        cells = {TITLES[name]: _paired_cell(paired[name]) for name in PAIRED}
        rows.append({f"minus {baseline.name}": model.name} | cells)
    return pd.DataFrame(rows)


def _models_with_families(results: Sequence[Result], split: str) -> list[tuple[Result, Groups]]:
    """The models of a split; runs of earlier code do not say which family a material is of."""
    return [(m, m.families) for m in ranked(results, split) if m.families is not None]


def _cell(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _paired_cell(pair: dict[str, float]) -> str:
    mark = "*" if pair["low"] > 0 or pair["high"] < 0 else ""
    return f"{pair['difference']:+.3f}{mark} ({pair['low']:+.3f} to {pair['high']:+.3f})"
