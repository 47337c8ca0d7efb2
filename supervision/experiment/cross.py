"""Trains models on a data set, and predicts the materials of other sources."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from supervision.data.composition_distance import (
    fraction_matrix,
    nearest_distance,
    nearest_index,
)
from supervision.data.crystals import Material, material_key
from supervision.data.families import families
from supervision.evaluation.metrics import constant_median
from supervision.evaluation.prediction import predict_materials
from supervision.experiment.spec import DataSplits
from supervision.models.families import get_family
from supervision.models.setup import ModelSetup
from supervision.training.callbacks import NO_CALLBACKS


@dataclass(frozen=True)
class OtherMaterials:
    """Materials of another source, beside those that a model learns from.

    Attributes:
        distance: in composition, to the nearest material that is learned from, [n].
        families: the family of each, [n].
        is_new: whether nothing of its family is learned from, [n].
        constant: the median Tc of what is learned from, in kelvin, [n].
        nearest: the Tc of the nearest material that is learned from, in kelvin, [n].
    """

    materials: Sequence[Material]
    distance: np.ndarray
    families: np.ndarray
    is_new: np.ndarray
    constant: np.ndarray
    nearest: np.ndarray

    @classmethod
    def beside(cls, known: Sequence[Material], rows: Sequence[Material]) -> "OtherMaterials":
        """Those rows whose composition is not among the known materials."""
        compositions = {material_key(m.formula) for m in known}
        materials = [row for row in rows if material_key(row.formula) not in compositions]
        there, here = (fraction_matrix([m.formula for m in group]) for group in (materials, known))
        tc = np.array([m.tc for m in known])
        family = families([*known, *materials])
        learned = {family[m.id] for m in known}
        of_rows = [family[m.id] for m in materials]
        return cls(
            materials,
            nearest_distance(there, here),
            np.array(of_rows),
            np.array([name not in learned for name in of_rows], dtype=bool),
            constant_median(tc, len(materials)),
            tc[nearest_index(there, here)] if materials else np.empty(0),
        )

    @property
    def tc(self) -> np.ndarray:
        """In kelvin, [n]; computed or measured, as the source says."""
        return np.array([m.tc for m in self.materials])


def fit_to_all(setup: ModelSetup, splits: DataSplits) -> None:
    """Fit a model to the whole data set; networks choose the epoch by its validation materials."""
    val = splits.part("val")
    learned: Sequence[Material] = splits.materials
    if get_family(setup.model_family).has_epochs:
        learned = [*splits.part("train"), *splits.part("test")]
    setup.predictor.fit(learned, val, callbacks=NO_CALLBACKS, checkpoints=None)


def predict_others(setup: ModelSetup, materials: Sequence[Material]) -> np.ndarray:
    """Predictions of a fitted model, one per material, in kelvin, [n]."""
    rows = predict_materials(setup.predictor, {"other": materials})
    return np.array([row.tc_pred for row in rows])
