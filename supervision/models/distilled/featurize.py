"""What a distilled model reads: the composition, and descriptors that need no neighbour search."""

import numpy as np

from supervision.data.cell_checks import check_geometry
from supervision.data.crystals import Crystal
from supervision.data.featurize import Featurizer
from supervision.models.composition.features import composition_features
from supervision.models.structure.descriptors.density import (
    DENSITY,
    DISORDER,
    density_of_sites,
    disorder,
)
from supervision.models.structure.descriptors.layers import LAYERS, layers
from supervision.models.structure.descriptors.sites import read_sites
from supervision.models.trees.features import FeatureVector

FEATURE_VERSION = 1
DESCRIPTORS = [name for name in DENSITY | DISORDER | LAYERS if name != "largest void"]


def build_quick_features(crystal: Crystal) -> FeatureVector:
    """Composition features, then descriptors, which are NaN for a formula without a structure.

    Raises CrystalError with one sentence.
    """
    composition = composition_features([crystal.composition])[0]
    return FeatureVector(np.concatenate([composition, _descriptors(crystal)]))


def _descriptors(crystal: Crystal) -> np.ndarray:
    if not crystal.cif:
        return np.full(len(DESCRIPTORS), np.nan)
    structure = crystal.structure
    check_geometry(structure)
    sites = read_sites(structure)
    values = density_of_sites(sites, structure.volume) | disorder(sites) | layers(structure, sites)
    return np.array([values[name] for name in DESCRIPTORS])


QUICK_FEATURIZER = Featurizer(
    "quick", f"v{FEATURE_VERSION}", build_quick_features, FeatureVector.from_arrays
)
