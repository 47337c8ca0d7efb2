"""Error metrics over materials, their bootstrap intervals, and trivial baselines.

All functions take arrays in kelvin with one value per material (``[n]``), not per structure or
view. The README describes the protocol under "How the numbers are made".
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.tc_bands import TC_BANDS, band_labels, band_name
from supervision.evaluation.bootstrap import (
    BOOTSTRAP_SAMPLES,
    Groups,
    group_indices,
    interval,
    paired_result,
    resamples,
)

if TYPE_CHECKING:
    import pandas as pd


def checked(tc: np.ndarray, tc_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of floats, [n]. Raises ValueError if empty, unequal in length, not finite."""
    tc, tc_pred = np.asarray(tc, dtype=float), np.asarray(tc_pred, dtype=float)
    if tc.ndim != 1 or tc.shape != tc_pred.shape:
        raise ValueError(f"Need two vectors of equal length, got {tc.shape} and {tc_pred.shape}.")
    if tc.size == 0:
        raise ValueError("Need at least one material to compute an error.")
    for name, values in (("tc", tc), ("tc_pred", tc_pred)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has {int((~np.isfinite(values)).sum())} non-finite values.")
    return tc, tc_pred


def mae(tc: np.ndarray, tc_pred: np.ndarray) -> float:
    """Mean absolute error in kelvin."""
    tc, tc_pred = checked(tc, tc_pred)
    return float(np.abs(tc - tc_pred).mean())


def rmse(tc: np.ndarray, tc_pred: np.ndarray) -> float:
    """Root mean squared error in kelvin."""
    tc, tc_pred = checked(tc, tc_pred)
    return float(np.sqrt(((tc - tc_pred) ** 2).mean()))


def r2(tc: np.ndarray, tc_pred: np.ndarray) -> float:
    """Coefficient of determination, 1 - SS_res / SS_tot; NaN if all ``tc`` are equal."""
    tc, tc_pred = checked(tc, tc_pred)
    if np.ptp(tc) == 0:  # rounding can make the mean of equal numbers differ from them
        return float("nan")
    total = ((tc - tc.mean()) ** 2).sum()
    return float(1 - ((tc - tc_pred) ** 2).sum() / total)


def squared_log_errors(tc: np.ndarray, tc_pred: np.ndarray) -> np.ndarray:
    """``(ln(1 + tc) - ln(1 + tc_pred))^2`` of each material, Tc in kelvin, [n].

    Raises ValueError for a value of -1 K or less.
    """
    tc, tc_pred = checked(tc, tc_pred)
    lowest = min(tc.min(), tc_pred.min())
    if lowest <= -1:
        raise ValueError(f"A Tc of {lowest:g} K has no log error; set negative predictions to 0 K.")
    return (np.log1p(tc) - np.log1p(tc_pred)) ** 2


def msle(tc: np.ndarray, tc_pred: np.ndarray) -> float:
    """Mean squared log error, dimensionless: the mean of ``squared_log_errors``.

    Sommer et al., Scientific Data 10, 816 (2023), report it for 3DSC.
    """
    return float(squared_log_errors(tc, tc_pred).mean())


def macro_mae(tc: np.ndarray, tc_pred: np.ndarray, groups: Groups) -> float:
    """The mean over groups of the MAE within each group, in kelvin: large groups count no more."""
    tc, tc_pred = checked(tc, tc_pred)
    group = group_indices(groups, tc.size)
    return float((np.bincount(group, np.abs(tc - tc_pred)) / np.bincount(group)).mean())


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"mae": mae, "rmse": rmse, "r2": r2}


def all_metrics(tc: np.ndarray, tc_pred: np.ndarray) -> dict[str, float]:
    """MAE and RMSE in kelvin and R2, by the names ``mae``, ``rmse`` and ``r2``."""
    return {name: metric(tc, tc_pred) for name, metric in METRICS.items()}


def bootstrap_intervals(
    tc: np.ndarray,
    tc_pred: np.ndarray,
    *,
    groups: Groups | None = None,
    samples: int = BOOTSTRAP_SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap interval of each metric over resampled groups of materials.

    Args:
        groups: a label of what is independent for each material, [n], such as its family where the
            split is by families; None: every material is independent.

    Returns ``(low, high)`` by metric name; NaN for R2 if all ``tc`` are equal.
    """
    tc, tc_pred = checked(tc, tc_pred)
    group = group_indices(groups, tc.size)
    rows = resamples(group.max() + 1, samples, seed)
    n = np.bincount(group)[rows].sum(1)
    squared = np.bincount(group, (tc - tc_pred) ** 2)[rows].sum(1)
    total = _total_squares(tc, group, rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = {
            "mae": np.bincount(group, np.abs(tc - tc_pred))[rows].sum(1) / n,
            "rmse": np.sqrt(squared / n),
            "r2": np.where(total > 0, 1 - squared / total, np.nan),
        }
    return {name: interval(values, level) for name, values in draws.items()}


def _total_squares(tc: np.ndarray, group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The sum of squared deviations from the mean Tc in each resample; 0 if all Tc are equal.

    It is the sum within the groups plus that of the groups' means, which does not lose digits as
    the difference of two sums of squares would.
    """
    size = np.bincount(group)
    means = np.bincount(group, tc) / size
    within = np.bincount(group, (tc - means[group]) ** 2)
    lowest, highest = np.full(size.size, np.inf), np.full(size.size, -np.inf)
    np.minimum.at(lowest, group, tc)
    np.maximum.at(highest, group, tc)
    sizes, drawn = size[rows], means[rows]
    mean = (sizes * drawn).sum(1, keepdims=True) / sizes.sum(1, keepdims=True)
    total = (within[rows] + sizes * (drawn - mean) ** 2).sum(1)
    # rounding can make the mean of equal numbers differ from them
    return np.where(highest[rows].max(1) > lowest[rows].min(1), total, 0.0)


def paired_bootstrap(
    tc: np.ndarray,
    pred_a: np.ndarray,
    pred_b: np.ndarray,
    *,
    groups: Groups | None = None,
    samples: int = BOOTSTRAP_SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """MAE of a minus MAE of b on the same materials, with its interval and a two-sided p-value.

    Returns ``difference``, ``low``, ``high`` in kelvin and ``p``; negative means that a is better.
    p is twice the fraction of resamples with the opposite sign, at least 1 / samples. ``groups`` is
    that of ``bootstrap_intervals``.
    """
    tc, pred_a = checked(tc, pred_a)
    tc, pred_b = checked(tc, pred_b)
    gap = np.abs(tc - pred_a) - np.abs(tc - pred_b)
    group = group_indices(groups, tc.size)
    rows = resamples(group.max() + 1, samples, seed)
    draws = np.bincount(group, gap)[rows].sum(1) / np.bincount(group)[rows].sum(1)
    return paired_result(gap.mean(), draws, level)


def band_table(tc: np.ndarray, tc_pred: np.ndarray) -> "pd.DataFrame":
    """Metrics for all materials, for Tc > 0 and for each Tc band: n, MAE, RMSE, R2 and bias (K).

    Bias is the mean of prediction minus target; ``share_of_error`` is the band's share of the total
    absolute error. Bands without materials are rows with n = 0.
    """
    import pandas as pd  # not needed for training

    tc, tc_pred = checked(tc, tc_pred)
    labels, total = band_labels(tc), np.abs(tc - tc_pred).sum()
    groups = {"all": np.ones(tc.size, bool), "Tc > 0": tc > 0}
    for low, high in TC_BANDS:
        groups[band_name(low, high)] = labels == band_name(low, high)
    rows = []
    for name, mask in groups.items():
        row: dict[str, float | str] = {"band": name, "n": int(mask.sum())}
        if mask.any():
            row |= all_metrics(tc[mask], tc_pred[mask])
            row["bias"] = float((tc_pred[mask] - tc[mask]).mean())
            row["share_of_error"] = float(np.abs(tc - tc_pred)[mask].sum() / total) if total else 0
        rows.append(row)
    return pd.DataFrame(rows)


def spread(tc: np.ndarray, tc_pred: np.ndarray) -> dict[str, float]:
    """Range of the predictions in kelvin, and their variance divided by the targets' variance."""
    tc, tc_pred = checked(tc, tc_pred)
    return {
        "pred_min": float(tc_pred.min()),
        "pred_max": float(tc_pred.max()),
        "variance_ratio": float(tc_pred.var() / tc.var()) if np.ptp(tc) else float("nan"),
    }


def constant_median(train_tc: np.ndarray, n: int) -> np.ndarray:
    """The constant baseline that minimises training MAE: the median training Tc, ``[n]``."""
    train_tc = np.asarray(train_tc, dtype=float)
    if train_tc.size == 0 or not np.isfinite(train_tc).all():
        raise ValueError(f"Need finite training Tc for a median, got {train_tc.tolist()}.")
    return np.full(n, float(np.median(train_tc)))


def family_mean(
    train_tc: np.ndarray, train_family: Sequence[str], families: Sequence[str]
) -> np.ndarray:
    """The mean training Tc of each material's family; the training median for unseen families."""
    predicted = constant_median(train_tc, len(families))
    members: dict[str, list[float]] = defaultdict(list)
    for tc, family in zip(np.asarray(train_tc, dtype=float), train_family, strict=True):
        members[family].append(tc)
    for i, family in enumerate(families):
        if family in members:
            predicted[i] = np.mean(members[family])
    return predicted
