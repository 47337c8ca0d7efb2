"""How new a composition is to a model: its distance to those that the model has learned from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import load_file, save_file

from supervision.data.composition_distance import distances_to, from_sparse, to_sparse
from supervision.data.splits import APART

KNOWN_FILE = "known.safetensors"


@dataclass(frozen=True)
class KnownCompositions:
    """The compositions that a model has learned from.

    Attributes:
        fractions: their atomic fractions, ``[n, elements]`` in single precision.
    """

    fractions: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    @classmethod
    def of(cls, fractions: np.ndarray) -> Self:
        """From atomic fractions ``[n, elements]``, which may repeat."""
        return cls(np.unique(fractions.astype(np.float32), axis=0))

    def novelty(self, fractions: np.ndarray) -> np.ndarray:
        """From 0, a known composition, to 1, one that is ``APART`` or farther from all of them.

        ``[n, elements]`` -> ``[n]``; linear in the distance (``composition_distance``).
        """
        rows = fractions.astype(np.float32)
        distance = np.array([float(distances_to(self.fractions, row).min()) for row in rows])
        return np.clip(distance / APART, 0, 1)

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        width = np.array([self.fractions.shape[1]])
        save_file(to_sparse(self.fractions) | {"width": width}, folder / KNOWN_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What ``save`` wrote; it gives the same numbers.

        Raises ValueError for a file of an earlier version.
        """
        arrays = load_file(folder / KNOWN_FILE)
        if "width" not in arrays:
            raise ValueError(
                f"{folder / KNOWN_FILE} was written by an earlier version of this code. Load the "
                "model with the code that trained it, or train it again."
            )
        return cls(from_sparse(arrays, int(arrays["width"][0])))


def calibration_factor(scale: float, novelty: np.ndarray) -> np.ndarray:
    """What a calibration multiplies Tc by, for compositions of this novelty ``[n]``, ``[n]``.

    From 1 for a known composition to the scale for a new one.
    """
    return 1 + (scale - 1) * novelty
