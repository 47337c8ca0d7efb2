"""How good intervals and probabilities are: coverage, width, Brier score, reliability."""

from dataclasses import dataclass

import numpy as np

from supervision.evaluation.bootstrap import (
    BOOTSTRAP_SAMPLES,
    Groups,
    group_indices,
    interval,
    resampled_counts,
)

BINS = 10  # of a reliability curve, of equal numbers of materials


@dataclass(frozen=True)
class Coverage:
    """Of the intervals of some materials.

    Attributes:
        materials: their number.
        coverage: the fraction whose measured Tc is in its interval.
        low, high: the 95% bootstrap interval of that fraction over families.
        width: the mean width of the intervals, in kelvin.
        median_width: their median width, in kelvin.
    """

    materials: int
    coverage: float
    low: float
    high: float
    width: float
    median_width: float


def coverage(tc: np.ndarray, intervals: np.ndarray, groups: Groups) -> Coverage:
    """The coverage of intervals ``[n, 2]`` of the measured Tc ``[n]``, in kelvin.

    Args:
        groups: the family of each material, [n].

    Raises ValueError for no material, and for an interval that is not finite.
    """
    if not len(tc):
        raise ValueError("Need at least one material to compute a coverage.")
    if not np.isfinite(intervals).all():
        raise ValueError(f"{(~np.isfinite(intervals)).any(axis=1).sum()} intervals are not finite.")
    covered = ((tc >= intervals[:, 0]) & (tc <= intervals[:, 1])).astype(float)
    group = group_indices(groups, len(tc))
    counts = resampled_counts(group.max() + 1, BOOTSTRAP_SAMPLES, seed=0)
    draws = counts @ np.bincount(group, covered) / (counts @ np.bincount(group))
    width = intervals[:, 1] - intervals[:, 0]
    return Coverage(
        len(tc), float(covered.mean()), *interval(draws, 0.95), float(width.mean()),
        float(np.median(width)),
    )  # fmt: skip


def brier(happened: np.ndarray, probability: np.ndarray) -> float:
    """The mean squared difference of probabilities ``[n]`` and what happened ``[n]`` (0 or 1).

    Brier, Mon. Weather Rev. 78, 1 (1950), for one of the two outcomes.
    """
    return float(((probability - happened) ** 2).mean())


def reliability(happened: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The mean probability and the fraction that happened in bins, ``[bins, 2]``.

    Bins have equal numbers of materials, in the order of their probability; equal ones share a bin.
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1]))
    of = np.digitize(probability, edges)
    _, number = np.unique(of, return_inverse=True)
    count = np.bincount(number)
    columns = (np.bincount(number, probability), np.bincount(number, happened.astype(float)))
    return np.column_stack(columns) / count[:, None]
