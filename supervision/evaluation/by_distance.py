"""The errors of models by the distance of a material to the nearest one that they learned from."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from supervision.evaluation.metrics import bootstrap_intervals, mae
from supervision.evaluation.ranking import spearman

EDGES = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0, 2.0)  # of the bins; the last one includes its upper edge
FEWEST = 10  # materials of a bin that is reported
ALL, NEW_FAMILIES = "all", "new families"


def errors_by_distance(
    distance: np.ndarray,
    is_new: np.ndarray,
    tc: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    groups: np.ndarray,
) -> pd.DataFrame:
    """One row per bin and model: ``ALL``, the bins of distance, and ``NEW_FAMILIES``.

    Bins of fewer than ``FEWEST`` materials are left out. Columns: ``bin``, ``n``, ``groups`` (their
    number), ``distance`` (median), ``model``, ``mae, mae_low, mae_high`` in kelvin, ``spearman``;
    the interval is a bootstrap over groups.

    Args:
        distance: of each material to the nearest one that was learned from, [n].
        is_new: whether it is of a family of which nothing was learned, [n].
        tc: measured, in kelvin, [n].
        predictions: in kelvin, [n], by the name of the model.
        groups: what is independent, such as the family of each material, [n].
    """
    bins = {ALL: np.ones(len(tc), dtype=bool)} | {
        f"{low:g} to {high:g}": (distance >= low) & ((distance < high) | (high == EDGES[-1]))
        for low, high in pairwise(EDGES)
    }
    rows = []
    for name, inside in (bins | {NEW_FAMILIES: is_new}).items():
        if inside.sum() < FEWEST:
            continue
        facts = {"bin": name, "n": int(inside.sum()), "groups": len(set(groups[inside]))}
        facts["distance"] = float(np.median(distance[inside]))
        rows += [
            facts | {"model": model} | _errors(tc[inside], tc_pred[inside], groups[inside])
            for model, tc_pred in predictions.items()
        ]
    return pd.DataFrame(rows)


def _errors(tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray) -> dict[str, float]:
    low, high = bootstrap_intervals(tc, tc_pred, groups=group)["mae"]
    once = np.ones((1, len(tc)), dtype=int)
    rank = float(spearman(tc, tc_pred, once)[0])
    return {"mae": mae(tc, tc_pred), "mae_low": low, "mae_high": high, "spearman": rank}
