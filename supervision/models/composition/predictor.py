"""The predictor of the composition family: trees on features of the formula.

It trains in seconds and is the baseline of every other model.
"""

from typing import ClassVar

from supervision.models.composition.config import CompositionConfig
from supervision.models.composition.features import FRACTIONS
from supervision.models.composition.featurize import COMPOSITION_FEATURIZER
from supervision.models.trees.predictor import TreePredictor


class CompositionPredictor(TreePredictor):
    """Reads compositions with an ensemble of trees, in kelvin."""

    model_family: ClassVar[str] = "composition"
    config_class = CompositionConfig
    featurizer = COMPOSITION_FEATURIZER
    fractions = FRACTIONS
