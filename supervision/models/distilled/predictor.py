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
from supervision.models.distilled.featurize import DESCRIPTORS, QUICK_FEATURIZER
from supervision.models.distilled.first_stage import FirstStage
from supervision.models.predictor import CONFIG_FILE
from supervision.models.trees.forest import Forest
from supervision.models.trees.known import KnownCompositions
from supervision.models.trees.prepared import PreparedFeatures
from supervision.training.target import TargetTransform

FIRST_FOLDER, SECOND_FOLDER = "first", "second"


class DistilledPredictor:
    """Reads composition and quick descriptors with two forests, in kelvin.

    Attributes:
        first: reads the composition features.
        second: reads all features, what the first says, and the novelty of the composition. It adds
            to the first in target space, weighted by the novelty, as the teacher's corrections are.
    """

    model_family: ClassVar[str] = "distilled"

    def __init__(self, first: FirstStage, second: Forest) -> None:
        self.first, self.second = first, second
        self.features = PreparedFeatures(QUICK_FEATURIZER, quiet=True)
        self.size: Mapping[str, int] = {
            "trees": len(first.forest.root),
            "second_trees": len(second.root),
        }

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal or formula in kelvin, ``[n]``.

        Raises CrystalError, naming the crystal, for one that cannot be read.
        """
        first, inputs, novelty = second_stage_inputs(self.first, self.features.of(crystals))
        return self.first.target.decode(first + novelty * self.second.predict(inputs))

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and a folder for each stage."""
        for stage, name in ((self.first, FIRST_FOLDER), (self.second, SECOND_FOLDER)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            stage.save(folder / name)
        config = {
            "model_family": self.model_family,
            "config": {},
            "target": self.first.target.to_dict(),
            "scale": self.first.scale,
            "feature_version": QUICK_FEATURIZER.version,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote; ValueError for features of another version."""
        QUICK_FEATURIZER.require_version(config["feature_version"])
        own = folder / FIRST_FOLDER
        first = FirstStage(
            Forest.load(own),
            TargetTransform(**config["target"]),
            config["scale"],
            KnownCompositions.load(own),
        )
        return cls(first, Forest.load(folder / SECOND_FOLDER))


def second_stage_inputs(
    first: FirstStage, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the first stage says, what the second reads, and the weight of the second.

    ``features`` ``[n, f]`` are those of ``QUICK_FEATURIZER``. Returns Tc in target space [n], the
    features with it and the novelty ``[n, f + 2]``, and the novelty [n].
    """
    said, novelty = first.predict(features[:, : -len(DESCRIPTORS)])
    return said, np.column_stack([features, said, novelty]), novelty
