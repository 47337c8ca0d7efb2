"""The vision paradigm on the common road, from its settings and weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.models.neural import neural_setup
from supervision.models.setup import ModelSetup
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.contact_sheet import contact_sheet_of
from supervision.models.vision.featurize import featurize_scenes
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.weights import get_weights
from supervision.training.state import FitConfig


@dataclass(frozen=True)
class Preset:
    """The values behind ``auto``."""

    epochs: int = 50
    views: int = 18
    learning_rate: float = 1e-4
    patience: int = 10


PRESETS = {"classics": Preset(epochs=6, views=6, learning_rate=3e-4)}


def vision_setup(
    weights: str, device: str, config: VisionConfig, fit_config: FitConfig
) -> ModelSetup:
    """Fetch the weights, say which they are, and build what learns from them."""
    fetched = get_weights(weights)
    print(fetched.message, flush=True)

    def featurize(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return featurize_scenes(crystals, bonding=config.bonding)[1]

    def pictures(materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {"contact_sheet": contact_sheet_of(materials, seed=config.seed)}

    predictor = VisionPredictor(config, fetched, fit_config, device=device)
    return neural_setup(predictor, fetched, featurize, pictures)
