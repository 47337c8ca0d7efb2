"""Crystals -> cached features of their compositions. Needs pymatgen and numpy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.featurize import Featurizer
from supervision.models.composition.features import composition_features

FEATURE_VERSION = 1


@dataclass(frozen=True, eq=False)
class CompositionFeatures:
    """What the trees read of a crystal: ``features`` [f]."""

    features: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for ``np.savez``."""
        return {"features": self.features}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "CompositionFeatures":
        """What ``to_arrays`` came from. Raises KeyError where the array is missing."""
        return cls(arrays["features"])


def featurize_composition(crystal: Crystal) -> CompositionFeatures:
    """The one path from a crystal to its features. Raises CrystalError with one sentence."""
    return CompositionFeatures(composition_features([crystal.structure.composition])[0])


COMPOSITION_FEATURIZER = Featurizer(
    "compositions", f"v{FEATURE_VERSION}", featurize_composition, CompositionFeatures.from_arrays
)
