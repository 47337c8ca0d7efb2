"""The protocol that every model family follows: fit, predict, save, load."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from supervision.data.crystals import Material
from supervision.evaluation.prediction import SupportsPredict
from supervision.training.callbacks import Callbacks, EpochRecord

if TYPE_CHECKING:  # predicting needs no torch for it
    from supervision.training.checkpoint import Checkpoints

CONFIG_FILE = "config.json"
PROVENANCE_FILE = "made_from.json"  # beside it: the run, the data and the training materials


class SavedPredictor(SupportsPredict, Protocol):
    """A model from crystals to Tc as it is loaded to be asked."""

    model_family: ClassVar[str]


class Predictor(SavedPredictor, Protocol):
    """A model from crystals to Tc that is trained, saved and loaded."""

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        callbacks: Callbacks,
        checkpoints: "Checkpoints | None",
    ) -> list[EpochRecord]:
        """Train on ``train`` and keep the epoch of lowest MAE on ``val``; returns the history."""

    def save(self, folder: Path) -> None:
        """Write all that ``load`` needs: config.json and safetensors, no pickles."""

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> Self:
        """The predictor that ``save`` wrote; ``config`` is its config.json. Same numbers.

        Raises ValueError where it was trained on features of another version than this code's.
        """
