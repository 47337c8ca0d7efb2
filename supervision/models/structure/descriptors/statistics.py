"""Weighted statistics of a quantity over the sites of a cell or over its bonds."""

from collections.abc import Mapping

import numpy as np

ALL_STATISTICS = ("mean", "deviation", "minimum", "maximum")


def statistics(
    name: str, values: np.ndarray, weights: np.ndarray, which: tuple[str, ...] = ALL_STATISTICS
) -> dict[str, float]:
    """Statistics of ``values`` [n] with ``weights`` [n] >= 0, by names such as ``mean NAME``.

    ``deviation`` is the standard deviation; ``minimum`` and ``maximum`` are over positive weights.
    Values that are NaN are left out. All are NaN if nothing is left.
    """
    known = (weights > 0) & ~np.isnan(values)
    if not known.any():
        return {f"{statistic} {name}": np.nan for statistic in which}
    values, weights = values[known], weights[known]
    mean = np.average(values, weights=weights)
    found = {
        "mean": mean,
        "deviation": np.sqrt(np.average((values - mean) ** 2, weights=weights)),
        "minimum": values.min(),
        "maximum": values.max(),
    }
    return {f"{statistic} {name}": float(found[statistic]) for statistic in which}


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of the values that are not NaN; NaN if nothing has a weight."""
    return statistics("", values, weights, ("mean",))["mean "]


def meanings(
    quantities: Mapping[str, str], which: tuple[str, ...] = ALL_STATISTICS
) -> dict[str, str]:
    """The meaning of each statistic of each quantity, by the names that ``statistics`` gives."""
    return {
        f"{statistic} {name}": f"{statistic} of: {meaning}"
        for name, meaning in quantities.items()
        for statistic in which
    }


def sums_by(i: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The sum of ``values`` [m, ...] by index ``i`` [m] in 0 ... count - 1, [count, ...]."""
    sums = np.zeros((count, *values.shape[1:]), dtype=values.dtype)
    np.add.at(sums, i, values)
    return sums
