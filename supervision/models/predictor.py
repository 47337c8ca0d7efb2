"""The protocol that every paradigm meets, and how a saved one is found again."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from supervision.data.crystals import Material
from supervision.evaluation.prediction import SupportsPredict
from supervision.training.callbacks import Callbacks, EpochRecord

if TYPE_CHECKING:  # who predicts needs no torch for it
    from supervision.training.checkpoint import Checkpoints

CONFIG_FILE = "config.json"
MADE_FROM = "made_from.json"  # beside it: the run, the data and the materials it learned from
CLASSES = {
    "vision": "supervision.models.vision.predictor:VisionPredictor",
    "graph": "supervision.models.graph.predictor:GraphPredictor",
    "composition": "supervision.models.composition.predictor:CompositionPredictor",
}


class Predictor(SupportsPredict, Protocol):
    """A reader that learns, and can be kept."""

    model_family: ClassVar[str]

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        listener: Callbacks,
        checkpoints: "Checkpoints | None",
    ) -> list[EpochRecord]:
        """Learn from ``train``, choose by the MAE on ``val``; returns the history."""

    def save(self, folder: Path) -> None:
        """Write all that ``load`` needs: config.json and safetensors, no pickles."""

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> Self:
        """The predictor that ``save`` wrote; its numbers are the same."""


def load_predictor(folder: Path) -> Predictor:
    """Any saved predictor. Raises FileNotFoundError or ValueError where there is none."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no saved predictor: there is no {CONFIG_FILE}.")
    config = json.loads(path.read_text())
    if config.get("model_family") not in CLASSES:
        raise ValueError(f"{path} names the unknown model_family '{config.get('model_family')}'.")
    module, name = CLASSES[config["model_family"]].split(":")
    return getattr(import_module(module), name).load(folder, config)
