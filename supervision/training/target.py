"""Tc in kelvin <-> the number a model is trained on, fitted on the training materials."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

KINDS = ("log1p", "sqrt", "identity")


@dataclass(frozen=True)
class TargetTransform:
    """A monotone curve, then centre and scale: ``z = (curve(tc) - centre) / scale``.

    Tc spans 0-133 K with a median of 2.4 K, so a plain scale lets a handful of cuprates drown
    the rest; a concave curve does not. The curve is monotone, so the median of z maps to the
    median of Tc: training on absolute error still aims at the MAE in kelvin.
    """

    kind: str = "sqrt"
    centre: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"target transform '{self.kind}' is not one of {', '.join(KINDS)}.")
        if not (math.isfinite(self.centre) and 0 < self.scale < math.inf):
            raise ValueError(
                f"target centre must be finite and scale positive, got {self.centre}, {self.scale}."
            )

    @classmethod
    def fit(cls, tc: np.ndarray, kind: str = "sqrt") -> "TargetTransform":
        """Centre and scale to mean 0, standard deviation 1 over ``tc`` (K, ``[n]``).

        Where all are equal the scale is 1. Raises ValueError on an empty, negative or NaN Tc.
        """
        tc = np.asarray(tc, dtype=float)
        if tc.size == 0:
            raise ValueError("Need at least one critical temperature to fit a target to.")
        curved = cls(kind)._curve(tc)
        return cls(kind, float(curved.mean()), float(curved.std()) if np.ptp(tc) else 1.0)

    def _curve(self, tc: np.ndarray) -> np.ndarray:
        if not (tc >= 0).all():
            raise ValueError(f"A critical temperature is 0 K or more, got {tc[~(tc >= 0)][0]} K.")
        if self.kind == "identity":
            return tc
        return np.log1p(tc) if self.kind == "log1p" else np.sqrt(tc)

    def encode(self, tc: np.ndarray | Sequence[float]) -> np.ndarray:
        """Kelvin to model space; raises ValueError on a negative or NaN Tc."""
        return (self._curve(np.asarray(tc, dtype=float)) - self.centre) / self.scale

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Model space to kelvin, never below 0 K."""
        curved = np.asarray(z, dtype=float) * self.scale + self.centre
        if self.kind == "identity":
            return np.maximum(curved, 0.0)
        curved = np.maximum(curved, 0.0)
        return np.expm1(curved) if self.kind == "log1p" else curved**2

    def to_dict(self) -> dict[str, str | float]:
        """The fields by name, as they are saved with a model."""
        return asdict(self)
