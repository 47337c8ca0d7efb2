"""What is saved with a model so that its answers say how sure they are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from supervision.answer.answerer import ANSWER_FOLDER
from supervision.answer.calibration import Calibration
from supervision.answer.known import KnownMaterials
from supervision.data.composition_distance import fraction_matrix
from supervision.data.crystals import Material
from supervision.data.sources import SOURCES
from supervision.evaluation.prediction import Prediction
from supervision.experiment.spec import DataSplits


def write_answer_data(
    folder: Path, learned: Sequence[Material], splits: DataSplits, held_out: Sequence[Prediction]
) -> None:
    """Write what a model has learned from, and how far it missed validation materials.

    Args:
        folder: of the saved predictor.
        learned: all that it is trained on.
        held_out: predictions of validation materials, before it learned from any of them.
    """
    own = folder / ANSWER_FOLDER
    own.mkdir(exist_ok=True)
    source = SOURCES.get(splits.dataset.name)
    if source and source.is_computed:  # the data set itself
        learned = [replace(material, is_computed=True) for material in learned]
    KnownMaterials.of(learned).save(own)
    calibration_of(held_out, splits.training()).save(own)


def calibration_of(predictions: Sequence[Prediction], learned: Sequence[Material]) -> Calibration:
    """The calibration by predictions of a model that has learned from these materials."""
    known = KnownMaterials.of(learned)
    return Calibration(
        np.array([row.tc for row in predictions]),
        np.array([row.tc_pred for row in predictions]),
        known.domain(fraction_matrix([row.formula for row in predictions])),
    )
