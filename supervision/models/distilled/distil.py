"""Teaches a fast model what a slower one says."""

from collections.abc import Sequence

import numpy as np

from supervision.data.crystals import Crystal
from supervision.evaluation.prediction import SupportsPredict
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.distilled.featurize import DESCRIPTORS, QUICK_FEATURIZER
from supervision.models.distilled.first_stage import FirstStage
from supervision.models.distilled.predictor import DistilledPredictor, second_stage_inputs
from supervision.models.trees.config import TreeConfig
from supervision.models.trees.forest import Forest
from supervision.models.trees.prepared import PreparedFeatures
from supervision.models.trees.regression import fit_trees

SECOND = TreeConfig(
    model="boosting", trees=400, max_features=0.5, leaf=5, leaves=31, learning_rate=0.05
)


def distil(
    teacher: SupportsPredict, base: CompositionPredictor, crystals: Sequence[Crystal]
) -> DistilledPredictor:
    """A fast model that says what the teacher says of these crystals, as far as it can.

    Args:
        teacher: a model of crystals and of formulas, in kelvin.
        base: a calibrated boosting model on the composition, which becomes the first stage.
        crystals: any that the teacher reads; their Tc is not needed. Those of compositions that
            ``base`` has learned from teach nothing, as the second stage does not touch them.

    Raises ValueError where none of the crystals is new to ``base``, or it is of another kind.
    """
    first = FirstStage.of(base)
    features = PreparedFeatures(QUICK_FEATURIZER, quiet=True)
    features.prepare(crystals)
    read = features.of(crystals)
    said, inputs, novelty = second_stage_inputs(first, read)
    is_new = novelty > 0
    if not is_new.any():
        raise ValueError("There is nothing to teach: all crystals have known compositions.")
    new = [crystal for crystal, chosen in zip(crystals, is_new, strict=True) if chosen]
    missing = _missing(teacher, first, new, said[is_new])
    without_structure = inputs[is_new].copy()
    without_structure[:, _descriptor_columns(read.shape[1])] = np.nan
    of_formulas = _missing(teacher, first, [_formula(c) for c in new], said[is_new])
    booster = fit_trees(
        SECOND,
        np.concatenate([inputs[is_new], without_structure]),
        np.concatenate([missing, of_formulas]) / np.tile(novelty[is_new], 2),
        np.tile(novelty[is_new] ** 2, 2),
    )
    return DistilledPredictor(first, Forest.of(booster))


def _missing(
    teacher: SupportsPredict, first: FirstStage, crystals: Sequence[Crystal], said: np.ndarray
) -> np.ndarray:
    """What the teacher says beyond the first stage, in target space, [n]."""
    tc = np.maximum(teacher.predict(crystals), 0)
    return np.asarray(first.target.encode(tc) - said)


def _formula(crystal: Crystal) -> Crystal:
    """The crystal without its structure."""
    return Crystal(crystal.id, crystal.composition.formula, "")


def _descriptor_columns(count: int) -> slice:
    """Where the descriptors are among ``count`` features."""
    return slice(count - len(DESCRIPTORS), count)
