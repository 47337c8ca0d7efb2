"""The first stage of a distilled model: a calibrated boosting model on the composition."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from supervision.models.composition.features import FRACTIONS
from supervision.models.trees.forest import Forest
from supervision.models.trees.known import KnownCompositions, calibration_factor
from supervision.training.target import TargetTransform

if TYPE_CHECKING:  # it needs LightGBM
    from supervision.models.composition.predictor import CompositionPredictor


@dataclass(frozen=True)
class FirstStage:
    """What a model of the composition family predicts, read by numpy.

    Attributes:
        forest: its trees.
        target: between kelvin and target space.
        scale: on predictions of new compositions.
        known: the compositions that it has learned from.
    """

    forest: Forest
    target: TargetTransform
    scale: float
    known: KnownCompositions

    @classmethod
    def of(cls, model: "CompositionPredictor") -> Self:
        """Raises ValueError for a model that is not boosted or not calibrated."""
        if model.config.model != "boosting" or not model.config.calibrate:
            raise ValueError(
                "The first stage of a distilled model is boosted and calibrated: train the "
                "composition model with model=boosting and calibrate=true."
            )
        return cls(Forest.of(model.trees), model.target, model.scale, model.known)

    def predict(self, composition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The calibrated Tc in target space, [n], and the novelty of the compositions, [n].

        Args:
            composition: composition features, ``[n, f]``.
        """
        novelty = self.known.novelty(composition[:, FRACTIONS])
        tc = self.target.decode(self.forest.predict(composition))
        return self.target.encode(tc * calibration_factor(self.scale, novelty)), novelty

    def save(self, folder: Path) -> None:
        """Write the forest and the known compositions into a folder that is there."""
        self.forest.save(folder)
        self.known.save(folder)
