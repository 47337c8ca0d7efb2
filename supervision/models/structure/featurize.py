"""Crystals -> cached structural descriptors. Needs pymatgen and numpy."""

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.featurize import Featurizer
from supervision.models.structure.features import structure_features
from supervision.models.trees.features import FeatureVector

FEATURE_VERSION = 1


def build_structure_features(crystal: Crystal) -> FeatureVector:
    """The structural descriptors of a crystal. Raises CrystalError with one sentence."""
    if not crystal.cif:
        raise CrystalError("It has no structure; give the content of a .cif file.")
    return FeatureVector(structure_features(crystal.structure))


STRUCTURE_FEATURIZER = Featurizer(
    "structures", f"v{FEATURE_VERSION}", build_structure_features, FeatureVector.from_arrays
)
