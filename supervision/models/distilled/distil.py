"""Teaches a fast model what a slower one says."""

from collections.abc import Sequence

import numpy as np

from supervision.data.crystals import Crystal
from supervision.evaluation.prediction import SupportsPredict
from supervision.models.composition.predictor import CompositionPredictor
from supervision.models.distilled.featurize import QUICK_FEATURIZER
from supervision.models.distilled.predictor import DistilledPredictor, second_stage_inputs
from supervision.models.trees.config import TreeConfig
from supervision.models.trees.forest import Forest
from supervision.models.trees.prepared import PreparedFeatures
from supervision.models.trees.regression import fit_trees

SECOND = TreeConfig(
    model="boosting", trees=200, max_features=0.5, leaf=5, leaves=31, learning_rate=0.1
)


def distil(
    teacher: SupportsPredict, base: CompositionPredictor, crystals: Sequence[Crystal]
) -> DistilledPredictor:
    """A fast model that says what the teacher says of these crystals, as far as it can.

    Args:
        teacher: a model of crystals, in kelvin.
        base: a calibrated boosting model on the composition, which becomes the first stage.
        crystals: any that the teacher reads; their Tc is not needed.
    """
    features = PreparedFeatures(QUICK_FEATURIZER)
    features.prepare(crystals)
    first = Forest.of(base.trees)
    said, inputs = second_stage_inputs(first, base.known, features.of(crystals))
    taught = base.target.encode(np.maximum(teacher.predict(crystals), 0))
    booster = fit_trees(SECOND, inputs, taught - said, np.ones(len(crystals)))
    return DistilledPredictor(first, Forest.of(booster), base.target, base.known)
