"""One row a material, in kelvin: what all metrics are computed from."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from supervision.crystals import Material
from supervision.predictor import Reader

COLUMNS = ["material_id", "formula", "split", "tc", "tc_pred"]


def predict_materials(predictor: Reader, parts: Mapping[str, Sequence[Material]]) -> pd.DataFrame:
    """Predict every structure of every material and average them, with equal weight.

    Args:
        parts: ``{"val": materials, "test": materials}``.

    Returns a table with COLUMNS, one row a material.
    """
    rows = []
    for part, materials in parts.items():
        crystals = [c for m in materials for c in m.crystals]
        predicted = dict(zip((c.id for c in crystals), predictor.predict(crystals), strict=True))
        for m in materials:
            tc_pred = float(np.mean([predicted[c.id] for c in m.crystals]))
            rows.append((m.id, m.formula, part, m.tc, tc_pred))
    return pd.DataFrame(rows, columns=COLUMNS)
