"""Tc in kelvin <-> the number a model is trained on, fitted on the training materials.

Values of other quantities, in their unit, are transformed in the same way.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SQRT, IDENTITY, LINEAR = "sqrt", "identity", "linear"
TC_KINDS = ("log1p", SQRT, IDENTITY, "rank")  # of values of 0 or more
KINDS = (*TC_KINDS, LINEAR)
TARGET_HELP = (
    "transform of Tc: sqrt, log1p, identity or rank; for another quantity sqrt means no transform"
)
MAX_KNOTS = 257


@dataclass(frozen=True)
class TargetTransform:
    """A monotone curve, then centre and scale: ``z = (curve(tc) - centre) / scale``.

    Tc spans 0-133 K with a median of 2.4 K, so a plain scale lets a handful of cuprates drown
    the rest; a concave curve does not. The curve is monotone, so the median of z maps to the
    median of Tc: training on absolute error still aims at the MAE in kelvin.

    Attributes:
        kind: the curve; ``rank`` is the share of the training materials with a lower Tc, equal ones
            half: a model of it learns the order of materials and nothing of kelvin. ``linear`` is
            ``identity`` for values that may be negative, of other quantities than Tc.
        knots: Tc (K) and rank at the knots of a piecewise linear ``rank``; empty for other kinds.
    """

    kind: str = "sqrt"
    centre: float = 0.0
    scale: float = 1.0
    knots: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"target transform '{self.kind}' is not one of {', '.join(KINDS)}; a column to "
                "learn is named by quantity=."
            )
        if not (math.isfinite(self.centre) and 0 < self.scale < math.inf):
            raise ValueError(
                f"target centre must be finite and scale positive, got {self.centre}, {self.scale}."
            )
        object.__setattr__(self, "knots", tuple((tc, rank) for tc, rank in self.knots))  # of JSON

    @classmethod
    def fit(cls, tc: np.ndarray, kind: str = "sqrt") -> "TargetTransform":
        """Centre and scale to mean 0, standard deviation 1 over ``tc`` (K, ``[n]``).

        Where all are equal the scale is 1. Raises ValueError on an empty, negative or NaN Tc.
        """
        tc = _checked(tc, kind)
        if tc.size == 0:
            raise ValueError("Need at least one critical temperature to fit a target to.")
        knots = _rank_knots(tc) if kind == "rank" else ()
        curved = cls(kind, knots=knots)._curve(tc)
        scale = float(curved.std()) if np.ptp(tc) else 1.0
        return cls(kind, float(curved.mean()), scale, knots)

    def _curve(self, tc: np.ndarray) -> np.ndarray:
        if self.kind == "rank":
            return _continued(tc, *zip(*self.knots, strict=True))
        if self.kind in (IDENTITY, LINEAR):
            return tc
        return np.log1p(tc) if self.kind == "log1p" else np.sqrt(tc)

    def encode(self, tc: np.ndarray | Sequence[float]) -> np.ndarray:
        """Kelvin to model space; raises ValueError on a negative or NaN Tc."""
        return (self._curve(_checked(tc, self.kind)) - self.centre) / self.scale

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Model space to kelvin, never below 0 K but for ``linear``."""
        curved = np.asarray(z, dtype=float) * self.scale + self.centre
        if self.kind == "rank":
            tc, rank = zip(*self.knots, strict=True)
            return np.interp(curved, rank, tc)  # between the lowest and the highest training Tc
        if self.kind == LINEAR:
            return curved
        curved = np.maximum(curved, 0.0)
        if self.kind == IDENTITY:
            return curved
        return np.expm1(curved) if self.kind == "log1p" else curved**2

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as they are saved with a model."""
        return asdict(self)


def _checked(tc: np.ndarray | Sequence[float], kind: str) -> np.ndarray:
    tc = np.asarray(tc, dtype=float)
    if kind == LINEAR and np.isfinite(tc).all():
        return tc
    if not (tc >= 0).all():
        raise ValueError(f"A critical temperature is 0 K or more, got {tc[~(tc >= 0)][0]} K.")
    return tc


def _rank_knots(tc: np.ndarray) -> tuple[tuple[float, float], ...]:
    """At most MAX_KNOTS distinct Tc and their ranks, the lowest and the highest among them."""
    values, counts = np.unique(tc, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2) / tc.size
    wanted = np.linspace(rank[0], rank[-1], MAX_KNOTS)
    chosen = np.unique(np.searchsorted(rank, wanted).clip(0, len(rank) - 1))
    return tuple(zip(values[chosen].tolist(), rank[chosen].tolist(), strict=True))


def _continued(tc: np.ndarray, known: Sequence[float], ranks: Sequence[float]) -> np.ndarray:
    """Ranks by piecewise linear interpolation; above the highest known Tc, the last slope."""
    found = np.interp(tc, known, ranks)
    if len(known) == 1:
        return found
    slope = (ranks[-1] - ranks[-2]) / (known[-1] - known[-2])
    return found + slope * np.maximum(tc - known[-1], 0)
