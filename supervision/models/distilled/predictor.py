"""The predictor of the distilled family: two forests that numpy reads, taught by another model.

Distillation: Bucilua, Caruana and Niculescu-Mizil, KDD 2006; Hinton, Vinyals and Dean,
arXiv:1503.02531. The first forest is that of a boosting model on the composition, unchanged. The
second one is small; it was fitted to what the teacher says beyond the first, for any crystals, as
no labels are needed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.errors import crystal_errors
from supervision.models.composition.features import FRACTIONS
from supervision.models.distilled.featurize import DESCRIPTORS, QUICK_FEATURIZER
from supervision.models.predictor import CONFIG_FILE
from supervision.models.trees.forest import Forest
from supervision.models.trees.known import KnownCompositions
from supervision.training.target import TargetTransform

FIRST_FOLDER, SECOND_FOLDER = "first", "second"


class DistilledPredictor:
    """Reads composition and quick descriptors with two forests, in kelvin.

    Attributes:
        first: reads the composition features.
        second: reads all features, what the first says, and the novelty of the composition.
        target: of both, between kelvin and model space.
        known: the compositions that the teacher has learned from.
    """

    model_family: ClassVar[str] = "distilled"

    def __init__(
        self, first: Forest, second: Forest, target: TargetTransform, known: KnownCompositions
    ) -> None:
        self.first, self.second, self.target, self.known = first, second, target, known
        self.size: Mapping[str, int] = {"trees": len(first.root), "second_trees": len(second.root)}

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``; raises CrystalError, naming the crystal."""
        features = np.stack([_features(crystal) for crystal in crystals])
        first, inputs = second_stage_inputs(self.first, self.known, features)
        return self.target.decode(first + self.second.predict(inputs))

    def save(self, folder: Path) -> None:
        """Write ``config.json``, both forests and the known compositions."""
        for name, forest in ((FIRST_FOLDER, self.first), (SECOND_FOLDER, self.second)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            forest.save(folder / name)
        self.known.save(folder)
        config = {
            "model_family": self.model_family,
            "config": {},
            "target": self.target.to_dict(),
            "feature_version": QUICK_FEATURIZER.version,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote; ValueError for features of another version."""
        QUICK_FEATURIZER.require_version(config["feature_version"])
        return cls(
            Forest.load(folder / FIRST_FOLDER),
            Forest.load(folder / SECOND_FOLDER),
            TargetTransform(**config["target"]),
            KnownCompositions.load(folder),
        )


def second_stage_inputs(
    first: Forest, known: KnownCompositions, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the first stage says, [n], and what the second reads, ``[n, f + 2]``.

    ``features`` ``[n, f]`` are those of ``QUICK_FEATURIZER``.
    """
    said = first.predict(features[:, : -len(DESCRIPTORS)])
    novelty = known.novelty(features[:, FRACTIONS])
    return said, np.column_stack([features, said, novelty])


def _features(crystal: Crystal) -> np.ndarray:
    with crystal_errors(crystal.id):
        return QUICK_FEATURIZER.build(crystal).features
