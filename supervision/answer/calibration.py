"""Interval, probabilities and typical error of a prediction, by how far others of its kind missed.

Predictions of materials that a model had not learned from are compared with their measured Tc in
sqrt(Tc), relative to 1 + sqrt(prediction): errors grow with Tc. A prediction is compared with those
of the same domain and a similar predicted Tc; bands of few materials are merged. Whether a Tc is
reported at all is a share of near predictions.

Of another quantity than Tc, values are compared as they are, and those of a domain with each other.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from supervision.answer.domain import DOMAINS, KNOWN, NEW_ELEMENTS, NEW_FAMILY, SERIES
from supervision.data.quantity import TC, Quantity
from supervision.evaluation.conformal import PredictiveSystem, fewest_scores

LEVEL = 0.9
BAND_EDGES = (1, 2, 3, 5, 10, 20, 40)  # of the predicted Tc, K
FEWEST_IN_BAND = 50  # materials; bands of fewer are merged
FEWEST_IN_DOMAIN = fewest_scores(LEVEL)  # of fewer there is no finite interval
NEIGHBOURS = 100  # predictions whose share of reported Tc is that of the one between them
REPORTED = 0.01  # K; a Tc below it is none
NONE = -1  # in place of a domain that has nothing to be compared with
CALIBRATION_FILE = "calibration.safetensors"


@dataclass(frozen=True)
class Calibration:
    """Materials that a model predicted without having learned from them.

    Attributes:
        tc: measured, in kelvin, [n].
        tc_pred: predicted, in kelvin, [n].
        domain: of each, an index of ``DOMAINS``, [n].
        quantity: what ``tc`` is a value of, in its unit.
    """

    tc: np.ndarray
    tc_pred: np.ndarray
    domain: np.ndarray
    quantity: Quantity = field(default=TC, kw_only=True)

    def interval(self, tc_pred: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Where the measured Tc is with probability ``LEVEL``, in kelvin, ``[n, 2]``.

        With equal tails; where the lower end is 0 K, which includes materials without a reported
        Tc, there is no lower tail, and the upper one has all the rest. NaN where too few materials
        were predicted to say. Another quantity is not below its minimum.
        """
        found = np.full((len(tc_pred), 2), np.nan)
        rows = self._merged[domain] != NONE
        given = (*self._encode(tc_pred[rows]), self._category(tc_pred[rows], domain[rows]))
        low, high = self._system.interval(*given, LEVEL).T
        if not self.quantity.is_tc:
            minimum = -np.inf if self.quantity.minimum is None else self.quantity.minimum
            found[rows] = np.maximum(np.column_stack([low, high]), minimum)
            return found
        from_zero = low < np.sqrt(REPORTED)
        one_sided = self._system.interval(*given, 2 * LEVEL - 1)[:, 1]
        found[rows, 0] = np.where(from_zero, 0, low) ** 2
        found[rows, 1] = np.where(from_zero, one_sided, high) ** 2
        return found

    def probability_above(
        self, threshold: float, tc_pred: np.ndarray, domain: np.ndarray
    ) -> np.ndarray:
        """The probability of a Tc above a threshold in kelvin, ``[n]``; NaN as in ``interval``."""
        found = np.full(len(tc_pred), np.nan)
        rows = self._merged[domain] != NONE
        encoded, scale = self._encode(tc_pred[rows])
        category = self._category(tc_pred[rows], domain[rows])
        found[rows] = self._system.probability_above(np.sqrt(threshold), encoded, scale, category)
        return found

    def probability_reported(self, tc_pred: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """The probability that a Tc is reported at all, ``[n]``; NaN as in ``interval``.

        The share among the ``NEIGHBOURS`` nearest predictions of the domain. The predictive system
        cannot say it: materials without a Tc are at 0 K whatever was predicted, so their scores
        depend on the prediction.
        """
        merged = self._merged[domain]
        found = np.full(len(tc_pred), np.nan)
        for d in np.unique(merged[merged != NONE]):
            known, reported = self._reported[int(d)]
            size, rows = min(NEIGHBOURS, len(known)), merged == d
            middle = np.searchsorted(known, tc_pred[rows])
            first = np.clip(middle - size // 2, 0, len(known) - size)
            found[rows] = (reported[first + size] - reported[first] + 0.5) / (size + 1)
        return found

    def error(self, domain: np.ndarray) -> np.ndarray:
        """The mean absolute error of predictions of a domain, in kelvin, ``[n]``.

        NaN for a domain of fewer than ``FEWEST_IN_DOMAIN`` materials.
        """
        return self._mean_error[domain]

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        arrays = {"tc": self.tc, "tc_pred": self.tc_pred, "domain": self.domain}
        save_file(
            {k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / CALIBRATION_FILE
        )

    @classmethod
    def load(cls, folder: Path, quantity: Quantity = TC) -> "Calibration":
        """What ``save`` wrote of this quantity; it gives the same numbers."""
        return cls(**load_file(folder / CALIBRATION_FILE), quantity=quantity)

    @cached_property
    def _system(self) -> PredictiveSystem:
        encoded, scale = self._encode(self.tc_pred)
        category = self._category(self.tc_pred, self.domain)
        tc = np.sqrt(self.tc) if self.quantity.is_tc else self.tc
        return PredictiveSystem.fit(tc, encoded, scale, category)

    @cached_property
    def _reported(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Of each merged domain: predictions in ascending order [m], how many of the first 0 to m
        have a reported Tc [m + 1]."""
        own, found = self._merged[self.domain], {}
        for d in np.unique(own):
            order = np.argsort(self.tc_pred[own == d])
            is_reported = self.tc[own == d][order] > REPORTED
            counts = np.concatenate([[0], np.cumsum(is_reported)])
            found[int(d)] = self.tc_pred[own == d][order], counts
        return found

    @cached_property
    def _mean_error(self) -> np.ndarray:
        """The mean absolute error of each domain, [4], as ``error`` gives it."""
        count, errors = np.bincount(self.domain, minlength=len(DOMAINS)), self.tc - self.tc_pred
        total = np.bincount(self.domain, np.abs(errors), minlength=len(DOMAINS))
        return np.where(count >= FEWEST_IN_DOMAIN, total / np.maximum(count, 1), np.nan)

    def _encode(self, tc_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sqrt of predicted Tc, other predictions as they are; and the scale of their errors."""
        if not self.quantity.is_tc:
            return tc_pred, np.ones(len(tc_pred))
        encoded = np.sqrt(np.maximum(tc_pred, 0))
        return encoded, 1 + encoded

    def _category(self, tc_pred: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """The materials that each prediction is compared with, as a number, ``[n]``."""
        merged = self._merged[domain]
        found = np.empty(len(tc_pred), dtype=int)
        for d in np.unique(merged):
            rows = merged == d
            bands = np.digitize(tc_pred[rows], self._edges[d])
            found[rows] = d * (len(BAND_EDGES) + 1) + bands
        return found

    @cached_property
    def _merged(self) -> np.ndarray:
        """The domain that each domain is compared with, or ``NONE``.

        One of few is joined to the next farther one, whose errors are larger. New families have
        none beyond them; those of nearer materials would be too small.
        """
        count = np.bincount(self.domain, minlength=len(DOMAINS))
        target = np.arange(len(DOMAINS))
        for d in (KNOWN, SERIES):
            if count[d] < FEWEST_IN_DOMAIN:
                target[target == d] = d + 1
                count[d + 1] += count[d]
        if count[NEW_FAMILY] < FEWEST_IN_DOMAIN:
            target[target == NEW_FAMILY] = NONE
        if count[NEW_ELEMENTS] < FEWEST_IN_DOMAIN:
            target[NEW_ELEMENTS] = target[NEW_FAMILY]
        return target

    @cached_property
    def _edges(self) -> dict[int, list[float]]:
        """The band edges of each merged domain, in kelvin; none of another quantity."""
        if not self.quantity.is_tc:
            return {int(d): [] for d in np.unique(self._merged)}
        merged = self._merged[self.domain]
        return {int(d): _band_edges(self.tc_pred[merged == d]) for d in np.unique(self._merged)}


def _band_edges(tc_pred: np.ndarray) -> list[float]:
    """Edges between which there are ``FEWEST_IN_BAND`` predictions or more, from the top down."""
    edges: list[float] = []
    top = np.inf
    for edge in reversed(BAND_EDGES):
        in_band = ((tc_pred >= edge) & (tc_pred < top)).sum()
        if in_band >= FEWEST_IN_BAND and (tc_pred < edge).sum() >= FEWEST_IN_BAND:
            edges.insert(0, edge)
            top = edge
    return edges
