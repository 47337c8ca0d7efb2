"""Crystals -> cached composition features. Needs pymatgen and numpy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.featurize import Featurizer
from supervision.models.composition.features import composition_features

FEATURE_VERSION = 1


@dataclass(frozen=True, eq=False)
class CompositionFeatures:
    """The composition features of a crystal: ``features`` [f]."""

    features: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, for ``np.savez``."""
        return {"features": self.features}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "CompositionFeatures":
        """The inverse of ``to_arrays``. Raises KeyError if the array is missing."""
        return cls(arrays["features"])


def build_composition_features(crystal: Crystal) -> CompositionFeatures:
    """The composition features of a crystal, in training and in serving.

    Raises CrystalError with one sentence.
    """
    return CompositionFeatures(composition_features([crystal.structure.composition])[0])


COMPOSITION_FEATURIZER = Featurizer(
    "compositions",
    f"v{FEATURE_VERSION}",
    build_composition_features,
    CompositionFeatures.from_arrays,
)
