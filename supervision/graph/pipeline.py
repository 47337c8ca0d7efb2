"""The graph paradigm on the common road, from its settings and weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from supervision.crystals import Crystal, Material, Reject
from supervision.descent import FitConfig
from supervision.graph.config import GraphConfig
from supervision.graph.predictor import GraphPredictor
from supervision.prepared import prepare
from supervision.road import Pipeline
from supervision.weights import get_weights


@dataclass(frozen=True)
class Preset:
    """The values behind ``auto``."""

    epochs: int = 200
    patience: int = 20


DESCENT: dict[str, Any] = {"learning_rate": 1e-5, "head_rate": 1e-3, "schedule": "plateau"}
PRESETS = {"classics": Preset(epochs=40, patience=10)}


def graph_pipeline(
    weights: str, device: str, config: GraphConfig, fit_config: FitConfig
) -> Pipeline:
    """Fetch the weights, say which they are, and build what learns from them."""
    fetched = get_weights(weights, "graph")
    print(fetched.message, flush=True)
    predictor = GraphPredictor(config, fetched, fit_config, device=device)

    def prepare_graphs(crystals: Sequence[Crystal]) -> Sequence[Reject]:
        return prepare(predictor.graphs, crystals)[1]

    def pictures(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
        return {}

    return Pipeline.of_network(predictor, fetched, prepare_graphs, pictures)
