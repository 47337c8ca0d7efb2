"""One row a material, in kelvin: what all metrics are computed from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from supervision.data.crystals import Crystal, Material


class SupportsPredict(Protocol):
    """Crystals in, critical temperatures out."""

    size: Mapping[str, int]  # how large the model is, to be logged; of a predictor, after fit

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``; raises CrystalError for one it cannot read."""


class Prediction(NamedTuple):
    """What was measured of a material and what is said of it, in kelvin."""

    material_id: str
    formula: str
    split: str
    tc: float
    tc_pred: float


def predict_materials(
    predictor: SupportsPredict, parts: Mapping[str, Sequence[Material]]
) -> list[Prediction]:
    """Predict every structure of every material and average them, with equal weight.

    Args:
        parts: ``{"val": materials, "test": materials}``.
    """
    rows = []
    for part, materials in parts.items():
        crystals = [c for m in materials for c in m.crystals]
        predicted = dict(zip((c.id for c in crystals), predictor.predict(crystals), strict=True))
        for m in materials:
            tc_pred = float(np.mean([predicted[c.id] for c in m.crystals]))
            rows.append(Prediction(m.id, m.formula, part, m.tc, tc_pred))
    return rows
