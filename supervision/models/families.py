"""The paradigms by name: their configurations before anyone chose, and what is built of them.

Each is imported where it is asked for: that takes seconds, and nobody needs all of them.
"""

from typing import Any

from supervision.models.setup import ModelSetup
from supervision.training.state import FitConfig


def default_configs(model_family: str, dataset: str, seed: int) -> list[Any]:
    """What ``train_*`` takes for a data set where nothing is chosen.

    Raises ValueError where there is no such paradigm.
    """
    if model_family == "vision":
        from supervision.models.vision import family as vision
        from supervision.models.vision.config import VisionConfig

        preset = vision.PRESETS.get(dataset, vision.Preset())
        rate = preset.learning_rate
        return [
            VisionConfig(views=preset.views, seed=seed),
            FitConfig(epochs=preset.epochs, learning_rate=rate, patience=preset.patience),
        ]
    if model_family == "graph":
        from supervision.models.graph import family as graph
        from supervision.models.graph.config import GraphConfig

        known = graph.PRESETS.get(dataset, graph.Preset())
        return [
            GraphConfig(seed=seed),
            FitConfig(epochs=known.epochs, patience=known.patience, **graph.DESCENT),
        ]
    if model_family == "composition":
        from supervision.models.composition.predictor import CompositionConfig

        return [CompositionConfig(seed=seed)]
    raise ValueError(f"model_family '{model_family}' is not one of vision, graph, composition.")


def build(model_family: str, configs: list[Any], weights: str, device: str) -> ModelSetup:
    """What trains by these configurations, from these weights (trees begin from none)."""
    if model_family == "vision":
        from supervision.models.vision.family import vision_setup

        return vision_setup(weights, device, *configs)
    if model_family == "graph":
        from supervision.models.graph.family import graph_setup

        return graph_setup(weights, device, *configs)
    from supervision.models.composition.family import composition_setup

    return composition_setup(*configs)
