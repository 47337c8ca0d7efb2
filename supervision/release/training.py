"""Trains a model on everything that there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from supervision.data.crystals import Material
from supervision.data.leaks import KNOWN
from supervision.experiment.spec import DataSplits
from supervision.models.families import get_family
from supervision.models.setup import ModelSetup
from supervision.training.callbacks import NO_CALLBACKS

SPLIT = "family"  # whose validation materials choose the epoch of a network


@dataclass(frozen=True)
class Trained:
    """A model that has learned from everything.

    Attributes:
        setup: the model, with its settings and weights.
        splits: the data.
        learned: the materials that it has learned from, those of other sources included.
    """

    setup: ModelSetup
    splits: DataSplits
    learned: Sequence[Material]

    def save(self, folder: Path) -> None:
        """Write the predictor; of a network, what training has changed."""
        predictor = self.setup.predictor
        if self.setup.weights.pretrained:
            predictor.save(folder, without_pretrained=True)  # type: ignore[call-arg]
        else:
            predictor.save(folder)


def train_on_all(setup: ModelSetup, splits: DataSplits) -> Trained:
    """Fit a model to the whole data set, and to all rows of other sources.

    Of networks, the validation materials choose the epoch, and are not learned from.
    """
    learned: list[Material] = list(splits.materials)
    if get_family(setup.model_family).has_epochs:
        learned = [*splits.part("train"), *splits.part("test")]
    learned += [row for row in splits.extra if splits.extra_parts[row.id] != KNOWN]
    setup.predictor.fit(learned, splits.part("val"), callbacks=NO_CALLBACKS, checkpoints=None)
    return Trained(setup, splits, learned)
