"""What a model is worth for finding new superconductors: errors and rankings over families.

A family is a hit at a threshold if its highest Tc is over it; families are ranked by their highest
prediction. The metrics, by name:

- ``mae_positive``: MAE over the materials with Tc > 0, K;
- ``macro_mae``: mean over families of the MAE within each, K;
- ``msle``: mean squared log error (``metrics.msle``);
- ``spearman``: rank correlation of Tc and prediction over all materials;
- ``spearman_between``: that of the families' means;
- ``spearman_within``: the mean of that within each family of 8 or more materials, without those in
  which the Tc or the predictions are all equal;
- ``ap_20``: average precision at 20 K, and so for 10 and 40 K;
- ``precision_top1pct_20``: fraction of hits among the 1% of families of highest prediction, at
  least one; and so for 5%;
- ``enrichment_top1pct_20``: that divided by the fraction of hits among all families.

A metric is NaN where it is undefined: without a hit, or where all Tc or predictions are equal.
"""

import numpy as np

from supervision.evaluation.bootstrap import (
    BOOTSTRAP_SAMPLES,
    Groups,
    group_indices,
    interval,
    paired_result,
    resampled_counts,
)
from supervision.evaluation.metrics import checked, squared_log_errors
from supervision.evaluation.ranking import average_precision, ratio, spearman, top_precision

THRESHOLDS_KELVIN = (10.0, 20.0, 40.0)
TOP_PERCENTS = (1, 5)
MIN_MEMBERS = 8  # of a family whose materials are ranked
BLOCK_SAMPLES = 100  # resamples at a time: bounds the memory


def all_discovery_metrics(tc: np.ndarray, tc_pred: np.ndarray, groups: Groups) -> dict[str, float]:
    """The metrics of the module's description, and what they are to be compared with.

    These are ``families``, their number; ``families_within``, the number that ``spearman_within``
    is a mean of; and ``prevalence_20``, the fraction of hits, which is also the average precision
    of a model that predicts one Tc for all.

    Args:
        tc, tc_pred: Tc of each material in kelvin, [n].
        groups: the family of each material, [n].
    """
    tc, tc_pred = checked(tc, tc_pred)
    group = group_indices(groups, tc.size)
    highest = _highest(tc, group)
    found = {
        "families": float(highest.size),
        "families_within": float(np.isfinite(_spearman_within(tc, tc_pred, group)).sum()),
    }
    found |= {f"prevalence_{t:g}": float((highest > t).mean()) for t in THRESHOLDS_KELVIN}
    values = _metrics(tc, tc_pred, group, np.ones((1, highest.size)))
    return found | {name: float(value[0]) for name, value in values.items()}


def discovery_intervals(
    tc: np.ndarray,
    tc_pred: np.ndarray,
    groups: Groups,
    *,
    samples: int = BOOTSTRAP_SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap interval ``(low, high)`` of each metric over resampled families.

    Resamples in which a metric is undefined are left out of its interval.
    """
    tc, tc_pred = checked(tc, tc_pred)
    draws = _draws(tc, tc_pred, group_indices(groups, tc.size), samples, seed)
    return {name: interval(values, level) for name, values in draws.items()}


def paired_discovery(
    tc: np.ndarray,
    pred_a: np.ndarray,
    pred_b: np.ndarray,
    groups: Groups,
    *,
    samples: int = BOOTSTRAP_SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Each metric of a minus that of b on the same materials, over resampled families.

    Returns ``difference``, ``low``, ``high`` and ``p`` (``bootstrap.paired_result``) by metric. A
    negative difference of an error (mae, msle) and a positive one of all others favour a.
    """
    tc, pred_a = checked(tc, pred_a)
    tc, pred_b = checked(tc, pred_b)
    group = group_indices(groups, tc.size)
    once = np.ones((1, group.max() + 1))
    a, b = (_metrics(tc, tc_pred, group, once) for tc_pred in (pred_a, pred_b))
    draws_a, draws_b = (_draws(tc, tc_pred, group, samples, seed) for tc_pred in (pred_a, pred_b))
    return {
        name: paired_result(float(a[name][0] - b[name][0]), draws_a[name] - draws_b[name], level)
        for name in a
    }


def _draws(
    tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray, samples: int, seed: int
) -> dict[str, np.ndarray]:
    """The metrics on resamples of families, [samples] each."""
    counts = resampled_counts(group.max() + 1, samples, seed)
    blocks = [
        _metrics(tc, tc_pred, group, counts[start : start + BLOCK_SAMPLES])
        for start in range(0, samples, BLOCK_SAMPLES)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _metrics(
    tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics where each family counts as often as ``counts`` [samples, families] says."""
    errors = _errors(tc, tc_pred, group, counts)
    ranks = _rank_correlations(tc, tc_pred, group, counts)
    return errors | ranks | _rankings_of_families(tc, tc_pred, group, counts)


def _errors(
    tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    size, positive = np.bincount(group), np.bincount(group, tc > 0)
    error, log_error = np.abs(tc - tc_pred), squared_log_errors(tc, tc_pred)
    return {
        "mae_positive": ratio(counts @ np.bincount(group, error * (tc > 0)), counts @ positive),
        "macro_mae": counts @ (np.bincount(group, error) / size) / counts.sum(1),
        "msle": counts @ np.bincount(group, log_error) / (counts @ size),
    }


def _rank_correlations(
    tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    within = _spearman_within(tc, tc_pred, group)
    defined = np.isfinite(within)
    return {
        "spearman": spearman(tc, tc_pred, counts[:, group]),
        "spearman_between": spearman(_means(tc, group), _means(tc_pred, group), counts),
        "spearman_within": ratio(counts[:, defined] @ within[defined], counts[:, defined].sum(1)),
    }


def _spearman_within(tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The rank correlation within each family; NaN if it is small or either side is constant."""
    size = np.bincount(group)
    found = np.full(size.size, np.nan)
    for family in np.flatnonzero(size >= MIN_MEMBERS):
        rows = group == family
        found[family] = spearman(tc[rows], tc_pred[rows], np.ones((1, size[family])))[0]
    return found


def _rankings_of_families(
    tc: np.ndarray, tc_pred: np.ndarray, group: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    highest, score = _highest(tc, group), _highest(tc_pred, group)
    found = {}
    for threshold in THRESHOLDS_KELVIN:
        hits = highest > threshold
        prevalence = counts @ hits / counts.sum(1)
        found[f"ap_{threshold:g}"] = average_precision(hits, score, counts)
        for percent in TOP_PERCENTS:
            k = max(1, round(percent / 100 * highest.size))
            precision = top_precision(hits, score, counts, k)
            found[f"precision_top{percent}pct_{threshold:g}"] = precision
            found[f"enrichment_top{percent}pct_{threshold:g}"] = ratio(precision, prevalence)
    return found


def _means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The mean of each family, [families]; rounded, since equal means must be tied."""
    return (np.bincount(group, values) / np.bincount(group)).round(9)


def _highest(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The highest value of each family, [families]."""
    highest = np.full(group.max() + 1, -np.inf)
    np.maximum.at(highest, group, values)
    return highest
