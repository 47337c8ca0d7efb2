"""The features of one crystal as a vector, which a featurizer caches."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FeatureVector:
    """The features of a crystal: ``features`` [f]; NaN where a feature is not known."""

    features: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, for ``np.savez``."""
        return {"features": self.features}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FeatureVector":
        """The inverse of ``to_arrays``. Raises KeyError if the array is missing."""
        return cls(arrays["features"])
