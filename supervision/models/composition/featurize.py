"""Crystals -> cached features of their compositions. Needs pymatgen and numpy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.featurize import Recipe
from supervision.models.composition.features import composition_features

FEATURE_VERSION = 1


@dataclass(frozen=True, eq=False)
class Composed:
    """What the trees read of a crystal: ``features`` [f]."""

    features: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for ``np.savez``."""
        return {"features": self.features}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Composed":
        """What ``to_arrays`` came from. Raises KeyError where the array is missing."""
        return cls(arrays["features"])


def composed(crystal: Crystal) -> Composed:
    """The one path from a crystal to its features. Raises CrystalError with one sentence."""
    return Composed(composition_features([crystal.structure.composition])[0])


COMPOSITIONS = Recipe("compositions", f"v{FEATURE_VERSION}", composed, Composed.from_arrays)
