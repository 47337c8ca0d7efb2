"""Bootstrap over what is independent: groups of materials, such as families, drawn as a whole.

The errors of one family are alike, so resampling its materials one by one would understate how far
a metric varies. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 8 (units
that are drawn as a whole) and ch. 13 (percentile intervals).
"""

from collections.abc import Sequence

import numpy as np

BOOTSTRAP_SAMPLES = 2000
Groups = Sequence[str] | np.ndarray  # the label of each material's group, [n]


def group_indices(groups: Groups | None, n: int) -> np.ndarray:
    """The group of each of ``n`` materials as a number, [n]; None: every material is its own.

    Groups are numbered from 0 in the order of their first material, so groups of one material have
    its number. Raises ValueError if there are not ``n`` labels.
    """
    if groups is None:
        return np.arange(n)
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"Need one group for each of {n} materials, got shape {labels.shape}.")
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def resamples(n: int, samples: int, seed: int) -> np.ndarray:
    """Bootstrap resamples: indices of ``n`` groups drawn with replacement, ``[samples, n]``."""
    return np.random.default_rng(seed).integers(0, n, size=(samples, n))


def resampled_counts(n: int, samples: int, seed: int) -> np.ndarray:
    """How often each of ``n`` groups is in each of the resamples, ``[samples, n]``."""
    rows = resamples(n, samples, seed) + n * np.arange(samples)[:, None]
    return np.bincount(rows.ravel(), minlength=samples * n).reshape(samples, n).astype(float)


def interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile interval ``(low, high)`` of the finite values of a statistic's resamples.

    NaN if there are none: the statistic is undefined.
    """
    known = draws[np.isfinite(draws)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def paired_result(difference: float, draws: np.ndarray, level: float) -> dict[str, float]:
    """A difference of two models with its interval and a two-sided p-value.

    Args:
        difference: the difference on the materials themselves.
        draws: the difference on each resample, the same one for both models.

    Returns ``difference``, ``low``, ``high`` and ``p``: twice the fraction of resamples with the
    opposite sign, at least 1 / resamples; NaN where the difference is undefined.
    """
    known = draws[np.isfinite(draws)]
    low, high = interval(draws, level)
    p = float("nan")
    if known.size:
        p = 2 * min((known >= 0).mean(), (known <= 0).mean())
        p = float(min(1.0, max(p, 1 / known.size)))
    return {"difference": float(difference), "low": low, "high": high, "p": p}
