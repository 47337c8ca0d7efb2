"""The paradigms by name: their configurations before anyone chose, and what is built of them.

Each is imported where it is asked for: that takes seconds, and nobody needs all of them.
"""

from typing import Any

from supervision.models.setup import Pipeline
from supervision.training.state import FitConfig


def default_configs(pipeline: str, dataset: str, seed: int) -> list[Any]:
    """What ``train_*`` takes for a data set where nothing is chosen.

    Raises ValueError where there is no such paradigm.
    """
    if pipeline == "vision":
        from supervision.models.vision import family as vision
        from supervision.models.vision.config import VisionConfig

        preset = vision.PRESETS.get(dataset, vision.Preset())
        rate = preset.learning_rate
        return [
            VisionConfig(views=preset.views, seed=seed),
            FitConfig(epochs=preset.epochs, learning_rate=rate, patience=preset.patience),
        ]
    if pipeline == "graph":
        from supervision.models.graph import family as graph
        from supervision.models.graph.config import GraphConfig

        known = graph.PRESETS.get(dataset, graph.Preset())
        return [
            GraphConfig(seed=seed),
            FitConfig(epochs=known.epochs, patience=known.patience, **graph.DESCENT),
        ]
    if pipeline == "composition":
        from supervision.models.composition.predictor import CompositionConfig

        return [CompositionConfig(seed=seed)]
    raise ValueError(f"pipeline '{pipeline}' is not one of vision, graph, composition.")


def build(pipeline: str, configs: list[Any], weights: str, device: str) -> Pipeline:
    """What trains by these configurations, from these weights (trees begin from none)."""
    if pipeline == "vision":
        from supervision.models.vision.family import vision_pipeline

        return vision_pipeline(weights, device, *configs)
    if pipeline == "graph":
        from supervision.models.graph.family import graph_pipeline

        return graph_pipeline(weights, device, *configs)
    from supervision.models.composition.family import composition_pipeline

    return composition_pipeline(*configs)
