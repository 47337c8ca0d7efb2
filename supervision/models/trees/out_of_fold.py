"""What a model predicts for families that it has not seen: families are left out in turn."""

from collections.abc import Callable, Sequence

import numpy as np

from supervision.data.crystals import Material
from supervision.data.leaks import is_near
from supervision.data.splits import Split, leave_out_families
from supervision.evaluation.prediction import predict_materials
from supervision.models.predictor import Predictor

FOLDS = 5
PRIOR_FAMILIES = 10  # with as many families of evidence, the scale is half-way to 1


def family_folds(own: Sequence[Material], seed: int) -> list[Split]:
    """Splits that leave out the families of these materials in turn, each once.

    Empty where there is nothing to learn from without one of them.
    """
    return leave_out_families(own, folds=FOLDS, seed=seed)


def out_of_fold(
    fit: Callable[[Sequence[Material]], Predictor],
    train: Sequence[Material],
    own: Sequence[Material],
    folds: Sequence[Split],
) -> np.ndarray:
    """The prediction for each material of ``own`` by a model without its family, in kelvin, [n].

    Rows of other sources that are near to a left-out material are left out with it.

    Args:
        fit: an untrained model, fitted to the materials that it is called with.
        train: all that is learned from.
        own: those of ``train`` that are predicted, all of the data set.
        folds: ``family_folds`` of ``own``.
    """
    others = [m for m in train if m.source]
    found: dict[str, float] = {}
    for split in folds:
        held_out = split.select(own, "test")
        near = is_near(others, held_out, split)
        apart = [m for m, leaks in zip(others, near, strict=True) if not leaks]
        model = fit([*split.apart_from_test(own), *apart])
        rows = predict_materials(model, {"train": held_out})
        found |= {row.material_id: row.tc_pred for row in rows}
    return np.array([found[m.id] for m in own])


def calibration_scale(
    tc: np.ndarray, tc_pred: np.ndarray, weight: np.ndarray, families: int
) -> float:
    """The factor on predictions [n] that minimises weighted squared errors in kelvin.

    In families that a model has not seen, its predictions are drawn to the mean, so that it is
    above 1 (a calibration slope: Copas, J. R. Stat. Soc. B 45, 311, 1983). It is drawn to 1 as by
    ``PRIOR_FAMILIES`` further families, of the number of families that is given.
    """
    squares = float((weight * tc_pred**2).sum())
    if not squares:
        return 1.0
    slope = float((weight * tc * tc_pred).sum()) / squares
    return (families * slope + PRIOR_FAMILIES) / (families + PRIOR_FAMILIES)
