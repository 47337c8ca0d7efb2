"""Predictions per material, from which all metrics are computed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from supervision.data.crystals import Crystal, Material


class SupportsPredict(Protocol):
    """A model that predicts the critical temperatures of crystals."""

    size: Mapping[str, int]  # numbers of parameters to log; available after fit

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """The Tc of each crystal in kelvin, ``[n]``. Raises CrystalError for an invalid crystal."""


class Prediction(NamedTuple):
    """The measured and the predicted Tc of a material, in kelvin."""

    material_id: str
    formula: str
    split: str
    tc: float
    tc_pred: float


def predict_materials(
    predictor: SupportsPredict, parts: Mapping[str, Sequence[Material]]
) -> list[Prediction]:
    """The predictions of a model, one per material: the mean over the material's structures.

    Args:
        parts: the materials by part, such as ``{"val": materials, "test": materials}``.
    """
    rows = []
    for part, materials in parts.items():
        crystals = [c for m in materials for c in m.crystals]
        predicted = dict(zip((c.id for c in crystals), predictor.predict(crystals), strict=True))
        for m in materials:
            tc_pred = float(np.mean([predicted[c.id] for c in m.crystals]))
            rows.append(Prediction(m.id, m.formula, part, m.tc, tc_pred))
    return rows
