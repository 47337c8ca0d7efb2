"""Crystals -> cached composition features. Needs pymatgen and numpy."""

from supervision.data.crystals import Crystal
from supervision.data.featurize import Featurizer
from supervision.models.composition.features import composition_features
from supervision.models.trees.features import FeatureVector

FEATURE_VERSION = 2


def build_composition_features(crystal: Crystal) -> FeatureVector:
    """The composition features of a crystal or of a formula, in training and in serving.

    Raises CrystalError with one sentence.
    """
    return FeatureVector(composition_features([crystal.composition])[0])


COMPOSITION_FEATURIZER = Featurizer(
    "compositions",
    f"v{FEATURE_VERSION}",
    build_composition_features,
    FeatureVector.from_arrays,
)
