"""The paradigms by name: their configurations before anyone chose, and what is built of them."""

from typing import Any

from supervision.composition.pipeline import composition_pipeline
from supervision.composition.predictor import CompositionConfig
from supervision.descent import FitConfig
from supervision.graph import pipeline as graph
from supervision.graph.config import GraphConfig
from supervision.road import Pipeline
from supervision.vision import pipeline as vision
from supervision.vision.config import VisionConfig


def default_configs(pipeline: str, dataset: str, seed: int) -> list[Any]:
    """What ``train_*`` takes for a data set where nothing is chosen.

    Raises ValueError where there is no such paradigm.
    """
    if pipeline == "vision":
        preset = vision.PRESETS.get(dataset, vision.Preset())
        rate = preset.learning_rate
        return [
            VisionConfig(views=preset.views, seed=seed),
            FitConfig(epochs=preset.epochs, learning_rate=rate, patience=preset.patience),
        ]
    if pipeline == "graph":
        known = graph.PRESETS.get(dataset, graph.Preset())
        return [
            GraphConfig(seed=seed),
            FitConfig(epochs=known.epochs, patience=known.patience, **graph.DESCENT),
        ]
    if pipeline == "composition":
        return [CompositionConfig(seed=seed)]
    raise ValueError(f"pipeline '{pipeline}' is not one of vision, graph, composition.")


def build(pipeline: str, configs: list[Any], weights: str, device: str) -> Pipeline:
    """What trains by these configurations, from these weights (trees begin from none)."""
    if pipeline == "vision":
        return vision.vision_pipeline(weights, device, *configs)
    if pipeline == "graph":
        return graph.graph_pipeline(weights, device, *configs)
    return composition_pipeline(*configs)
