"""The predictor of the structure family: trees on features of the composition and the structure."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, crystal_errors
from supervision.models.structure.config import StructureConfig
from supervision.models.structure.featurize import STRUCTURE_FEATURIZER
from supervision.models.trees.predictor import TreePredictor


class StructurePredictor(TreePredictor):
    """Reads compositions and structures with an ensemble of trees, in kelvin.

    It may learn from formulas without structures, but predicts crystals that have one.
    """

    model_family: ClassVar[str] = "structure"
    config_class = StructureConfig
    featurizer = STRUCTURE_FEATURIZER

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``.

        Raises CrystalError, naming the crystal, for one that has no structure or cannot be read.
        """
        for crystal in crystals:
            with crystal_errors(crystal.id):
                if not crystal.cif:
                    raise CrystalError("It has no structure; give the content of a .cif file.")
        return super().predict(crystals)
