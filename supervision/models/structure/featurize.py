"""Crystals -> cached features of composition and structure. Needs pymatgen and numpy."""

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.featurize import Featurizer
from supervision.models.composition.featurize import (
    COMPOSITION_FEATURIZER,
    build_composition_features,
)
from supervision.models.structure.features import structure_feature_names, structure_features
from supervision.models.trees.features import FeatureVector

FEATURE_VERSION = 1


def build_structure_features(crystal: Crystal) -> FeatureVector:
    """The composition features of a crystal, then its structural descriptors.

    The descriptors of a formula without a structure are NaN, so that it can be trained on. Raises
    CrystalError with one sentence.
    """
    composition = build_composition_features(crystal).features
    if crystal.cif:
        descriptors = structure_features(crystal.structure)
    else:
        descriptors = np.full(len(structure_feature_names()), np.nan)
    return FeatureVector(np.concatenate([composition, descriptors]))


STRUCTURE_FEATURIZER = Featurizer(
    "structures",
    f"v{FEATURE_VERSION}-composition-{COMPOSITION_FEATURIZER.version}",
    build_structure_features,
    FeatureVector.from_arrays,
)
