"""How well a score ranks: rank correlation, average precision, precision at the top.

Every item counts as often as ``counts`` says: once for the data themselves, or as often as it was
drawn in a bootstrap resample. All functions take ``counts`` ``[samples, n]`` and return one value
per sample. Equal scores are treated alike, so no value depends on the order of the items.
"""

import numpy as np


def spearman(one: np.ndarray, other: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two vectors [n], [samples]; NaN where either is constant.

    Equal values share the mean of their ranks, as in ``scipy.stats.spearmanr``.
    """
    a, b = _centred_ranks(one, counts), _centred_ranks(other, counts)
    weighted = counts * a
    covariance = (weighted * b).sum(1)
    scale = np.sqrt((weighted * a).sum(1) * (counts * b * b).sum(1))
    return ratio(covariance, scale)


def average_precision(hits: np.ndarray, score: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean precision at the hits if items are ranked by score, [samples]; NaN without a hit.

    Items of equal score enter together, as in ``sklearn.metrics.average_precision_score``, so the
    value of a constant score is the fraction of hits.

    Args:
        hits: whether each item is one to be found, [n].
        score: the predicted value by which they are ranked, highest first, [n].
    """
    found, drawn = _cumulative(hits, score, counts)
    precision = found / np.maximum(drawn, 1)
    return ratio((np.diff(found, axis=1) * precision[:, 1:]).sum(1), found[:, -1])


def top_precision(hits: np.ndarray, score: np.ndarray, counts: np.ndarray, k: float) -> np.ndarray:
    """The fraction of hits among the ``k`` items of highest score, [samples].

    Counts may be weights; then ``k`` is the weight of the top, less than their sum. Where items of
    equal score compete for the last places, it is the mean over all orders of them.
    """
    found, drawn = _cumulative(hits, score, counts)
    rows, reached = np.arange(len(counts)), (drawn >= k).argmax(1)
    before = reached - 1
    rate = (found[rows, reached] - found[rows, before]) / (
        drawn[rows, reached] - drawn[rows, before]
    )
    return (found[rows, before] + (k - drawn[rows, before]) * rate) / k


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient; NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator != 0, numerator / denominator, np.nan)


def _centred_ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rank of each value minus the mean rank, ``[samples, n]``."""
    order, starts, tie = _ties(values)
    size = np.add.reduceat(counts[:, order], starts, axis=1)  # of each distinct value
    middle = size.cumsum(1) - size / 2
    return (middle - counts.sum(1, keepdims=True) / 2)[:, tie]


def _cumulative(
    hits: np.ndarray, score: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The hits and the items down to each distinct score, from none to all of them.

    Both are ``[samples, 1 + distinct scores]``.
    """
    order, starts, _ = _ties(-score)
    found, drawn = (
        np.add.reduceat(weights[:, order], starts, axis=1).cumsum(1)
        for weights in (counts * hits, counts)
    )
    none = np.zeros((len(counts), 1))
    return np.hstack([none, found]), np.hstack([none, drawn])


def _ties(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ascending order, where in it each distinct value starts, and each item's distinct value.

    Shapes ``[n]``, ``[distinct]`` and ``[n]``.
    """
    _, starts, tie = np.unique(np.sort(values), return_index=True, return_inverse=True)
    order = np.argsort(values, kind="stable")
    return order, starts, tie[np.argsort(order)]
