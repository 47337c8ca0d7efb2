"""Interval, probabilities and typical error of a prediction, by how far others of its kind missed.

Predictions of materials that a model had not learned from are compared with their measured Tc in
sqrt(Tc), relative to 1 + sqrt(prediction): errors grow with Tc. A prediction is compared with those
of the same domain and a similar predicted Tc; bands of few materials are merged.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from supervision.answer.domain import DOMAINS, KNOWN, NEW_ELEMENTS, NEW_FAMILY, SERIES
from supervision.evaluation.conformal import PredictiveSystem, fewest_scores

BAND_EDGES = (1, 2, 3, 5, 10, 20, 40)  # of the predicted Tc, K
FEWEST = 50  # materials of a domain or band that is not merged with another one
LEVEL = 0.9
REPORTED = 0.01  # K; a Tc above it is one that was reported
MERGED_INTO = {KNOWN: SERIES, SERIES: NEW_FAMILY, NEW_ELEMENTS: NEW_FAMILY}  # a domain of few
CALIBRATION_FILE = "calibration.safetensors"


@dataclass(frozen=True)
class Calibration:
    """Materials that a model predicted without having learned from them.

    Attributes:
        tc: measured, in kelvin, [n].
        tc_pred: predicted, in kelvin, [n].
        domain: of each, an index of ``DOMAINS``, [n].
    """

    tc: np.ndarray
    tc_pred: np.ndarray
    domain: np.ndarray

    @property
    def is_sufficient(self) -> bool:
        """Whether there are enough materials for intervals."""
        return len(self.tc) >= fewest_scores(LEVEL)

    def interval(self, tc_pred: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Where the measured Tc is with probability ``LEVEL``, in kelvin, ``[n, 2]``.

        NaN where the calibration is not sufficient.
        """
        if not self.is_sufficient:
            return np.full((len(tc_pred), 2), np.nan)
        encoded, scale = _encode(tc_pred)
        found = self._system.interval(encoded, scale, self._category(tc_pred, domain), LEVEL)
        return np.maximum(found, 0) ** 2

    def probability_above(
        self, threshold: float, tc_pred: np.ndarray, domain: np.ndarray
    ) -> np.ndarray:
        """The probability of a Tc above a threshold in kelvin, ``[n]``.

        NaN where the calibration is not sufficient.
        """
        if not self.is_sufficient:
            return np.full(len(tc_pred), np.nan)
        encoded, scale = _encode(tc_pred)
        category = self._category(tc_pred, domain)
        return self._system.probability_above(np.sqrt(threshold), encoded, scale, category)

    def error(self, domain: np.ndarray) -> np.ndarray:
        """The mean absolute error of predictions of a domain, in kelvin, ``[n]``; NaN for none."""
        errors = np.abs(self.tc - self.tc_pred)
        means = [errors[self.domain == d].mean() if d in self.domain else np.nan for d in _INDICES]
        return np.array(means)[domain]

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        arrays = {"tc": self.tc, "tc_pred": self.tc_pred, "domain": self.domain}
        save_file(
            {k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / CALIBRATION_FILE
        )

    @classmethod
    def load(cls, folder: Path) -> "Calibration":
        """What ``save`` wrote; it gives the same numbers."""
        return cls(**load_file(folder / CALIBRATION_FILE))

    @cached_property
    def _system(self) -> PredictiveSystem:
        encoded, scale = _encode(self.tc_pred)
        category = self._category(self.tc_pred, self.domain)
        return PredictiveSystem.fit(np.sqrt(self.tc), encoded, scale, category)

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
        """The domain that each domain is compared with; that of few materials with its neighbour's.

        Where new families are few, too, all materials are compared.
        """
        count = np.bincount(self.domain, minlength=len(DOMAINS))
        if count[NEW_FAMILY] < FEWEST:
            return np.full(len(DOMAINS), NEW_FAMILY)
        target = np.arange(len(DOMAINS))
        for d in (SERIES, KNOWN, NEW_ELEMENTS):
            if count[d] < FEWEST:
                target[d] = target[MERGED_INTO[d]]
        return target

    @cached_property
    def _edges(self) -> dict[int, list[float]]:
        """The band edges of each merged domain, each band with ``FEWEST`` materials or more."""
        merged = self._merged[self.domain]
        return {int(d): _band_edges(self.tc_pred[merged == d]) for d in np.unique(self._merged)}


_INDICES = range(len(DOMAINS))


def _band_edges(tc_pred: np.ndarray) -> list[float]:
    """Edges in kelvin between which there are ``FEWEST`` predictions or more, from the top down."""
    edges: list[float] = []
    top = np.inf
    for edge in reversed(BAND_EDGES):
        in_band = ((tc_pred >= edge) & (tc_pred < top)).sum()
        if in_band >= FEWEST and (tc_pred < edge).sum() >= FEWEST:
            edges.insert(0, edge)
            top = edge
    return edges


def _encode(tc_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sqrt of predictions, and the scale of their errors."""
    encoded = np.sqrt(np.maximum(tc_pred, 0))
    return encoded, 1 + encoded
