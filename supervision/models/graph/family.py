"""The graph paradigm on the common road, from its settings and weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.data.featurize import featurize
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.neural import neural_setup
from supervision.models.setup import ModelSetup
from supervision.models.weights import get_weights
from supervision.training.state import FitConfig


@dataclass(frozen=True)
class Preset:
    """The values behind ``auto``."""

    epochs: int = 200
    patience: int = 20


DESCENT: dict[str, Any] = {"learning_rate": 1e-5, "head_rate": 1e-3, "schedule": "plateau"}
PRESETS = {"classics": Preset(epochs=40, patience=10)}


def graph_setup(
    weights: str, device: str, config: GraphConfig, fit_config: FitConfig
) -> ModelSetup:
    """Fetch the weights, say which they are, and build what learns from them."""
    fetched = get_weights(weights, "graph")
    print(fetched.message, flush=True)
    predictor = GraphPredictor(config, fetched, fit_config, device=device)

    def prepare_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return featurize(predictor.graphs, crystals)[1]

    def pictures(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {}

    return neural_setup(predictor, fetched, prepare_graphs, pictures)
