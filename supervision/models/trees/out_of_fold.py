"""What a model of trees predicts for the families that it has not seen: for later stages."""

from collections.abc import Callable, Sequence

import numpy as np

from supervision.data.crystals import Material
from supervision.data.leaks import is_near
from supervision.data.splits import make_split
from supervision.evaluation.prediction import predict_materials
from supervision.models.predictor import Predictor

FOLDS = 5


def out_of_fold(
    fit: Callable[[Sequence[Material]], Predictor],
    train: Sequence[Material],
    own: Sequence[Material],
    seed: int,
) -> np.ndarray:
    """The prediction for each material of ``own`` by a model without its family, in kelvin, [n].

    The families are divided as in a ``novel`` split; rows of other sources that are near to a
    material are left out with it. Raises ValueError where there are too few families.

    Args:
        fit: an untrained model, fitted to the materials that it is called with.
        train: all that is learned from.
        own: those of ``train`` that are predicted, all of the data set.
    """
    others = [m for m in train if m.source]
    found: dict[str, float] = {}
    for fold in range(1, FOLDS + 1):
        split = make_split(own, "novel", seed=seed, folds=FOLDS, fold=fold)
        held_out = split.select(own, "test")
        near = is_near(others, held_out, split)
        apart = [m for m, leaks in zip(others, near, strict=True) if not leaks]
        model = fit([*split.apart_from_test(own), *apart])
        rows = predict_materials(model, {"train": held_out})
        found |= {row.material_id: row.tc_pred for row in rows}
    return np.array([found[m.id] for m in own])


def scale_to(tc: np.ndarray, tc_pred: np.ndarray) -> float:
    """The factor on predictions [n] that minimises squared errors in kelvin; 1 if all are 0.

    In families that a model has not seen, its predictions are drawn to the mean, so that it is
    above 1 (a calibration slope: Copas, J. R. Stat. Soc. B 45, 311, 1983).
    """
    squares = float((tc_pred**2).sum())
    return float((tc * tc_pred).sum()) / squares if squares else 1.0
