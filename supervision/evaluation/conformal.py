"""Conformal predictive systems: from errors on known materials to intervals and probabilities.

A system holds scores, ``(y - y_pred) / scale``, of materials that a model had not learned from. The
next material's score is equally likely to fall between any two of them, which gives the whole
distribution of its ``y``: Vovk, Shen, Manokhin and Xie, Mach. Learn. 108, 445 (2019). Scales and
categories (materials are compared with those of their own category) are as in Boström, Johansson
and Löfström, Proc. Mach. Learn. Res. 152, 24 (2021).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


def fewest_scores(level: float) -> int:
    """How many scores a category needs for intervals of this level to be finite."""
    return math.ceil(2 / (1 - level) - 1e-9) - 1


@dataclass(frozen=True)
class PredictiveSystem:
    """The distribution of what is measured, given a prediction.

    Attributes:
        scores: by category, in ascending order.
    """

    scores: Mapping[int, np.ndarray]

    @classmethod
    def fit(
        cls, y: np.ndarray, y_pred: np.ndarray, scale: np.ndarray, category: np.ndarray
    ) -> "PredictiveSystem":
        """From materials that were measured and predicted, all ``[n]``; scales are positive."""
        score = (y - y_pred) / scale
        return cls({int(name): np.sort(score[category == name]) for name in np.unique(category)})

    def interval(
        self, y_pred: np.ndarray, scale: np.ndarray, category: np.ndarray, level: float
    ) -> np.ndarray:
        """Where ``y`` is with this probability, with equal tails, ``[n, 2]``.

        Infinite where the category has fewer than ``fewest_scores`` scores.
        """
        found = np.empty((len(y_pred), 2))
        for name in np.unique(category):
            rows = category == name
            low, high = _quantiles(self.scores[int(name)], (1 - level) / 2)
            found[rows, 0] = y_pred[rows] + scale[rows] * low
            found[rows, 1] = y_pred[rows] + scale[rows] * high
        return found

    def probability_above(
        self, threshold: float, y_pred: np.ndarray, scale: np.ndarray, category: np.ndarray
    ) -> np.ndarray:
        """The probability that ``y`` is above a threshold, ``[n]``.

        The next score may also fall at the threshold's own place, which counts as half above.
        """
        found = np.empty(len(y_pred))
        for name in np.unique(category):
            rows, scores = category == name, self.scores[int(name)]
            at = (threshold - y_pred[rows]) / scale[rows]
            above = len(scores) - np.searchsorted(scores, at, side="right")
            equal = np.searchsorted(scores, at, "right") - np.searchsorted(scores, at, "left")
            found[rows] = (above + (equal + 1) / 2) / (len(scores) + 1)
        return found


def _quantiles(scores: np.ndarray, tail: float) -> tuple[float, float]:
    """The scores that leave this share of the next ones below and above."""
    rank = math.floor(tail * (len(scores) + 1) + 1e-9)
    if rank < 1:
        return -math.inf, math.inf
    return float(scores[rank - 1]), float(scores[-rank])
