"""The protocol that every paradigm meets, and how a saved one is found again."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from supervision.callbacks import EpochRecord, Listener
from supervision.crystals import Crystal, Material

if TYPE_CHECKING:  # who predicts needs no torch for it
    from supervision.checkpoint import Checkpoints

CONFIG_FILE = "config.json"
MADE_FROM = "made_from.json"  # beside it: the run, the data and the materials it learned from
CLASSES = {
    "vision": "supervision.vision.predictor:VisionPredictor",
    "graph": "supervision.graph.predictor:GraphPredictor",
    "composition": "supervision.composition.predictor:CompositionPredictor",
}


class Reader(Protocol):
    """Crystals in, critical temperatures out."""

    size: Mapping[str, int]  # how large the model is, to be logged; of a predictor, after fit

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc of each crystal in kelvin, ``[n]``; raises CrystalError for one it cannot read."""


class Predictor(Reader, Protocol):
    """A reader that learns, and can be kept."""

    pipeline: ClassVar[str]

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        listener: Listener,
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
    if config.get("pipeline") not in CLASSES:
        raise ValueError(f"{path} names the unknown pipeline '{config.get('pipeline')}'.")
    module, name = CLASSES[config["pipeline"]].split(":")
    return getattr(import_module(module), name).load(folder, config)
