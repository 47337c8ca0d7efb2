"""A small logged model of each model family, untrained."""

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from tracking import runs
from tracking.serving import registry

MODEL_FAMILIES = ("vision", "graph", "composition")


def untrained(model_family):
    """A predictor whose numbers are meaningless, but always the same."""
    if model_family == "composition":
        return _untrained_trees()
    from supervision.models.graph.config import GraphConfig
    from supervision.models.graph.predictor import GraphPredictor
    from supervision.models.vision.config import VisionConfig
    from supervision.models.vision.predictor import VisionPredictor
    from supervision.models.weights import get_weights
    from supervision.training.config import FitConfig

    weights = get_weights("none", model_family)
    if model_family == "vision":
        return VisionPredictor(VisionConfig(views=2), weights, FitConfig(), quiet=True)
    return GraphPredictor(GraphConfig(), weights, FitConfig(), quiet=True)


def _untrained_trees():
    """Trees without a training run; they have no other state than a fit."""
    from supervision.models.composition.config import CompositionConfig
    from supervision.models.composition.predictor import CompositionPredictor

    predictor = CompositionPredictor(CompositionConfig(trees=20), quiet=True)
    materials = group_materials(load_dataset("classics").crystals[:40])
    predictor.fit(materials[:30], materials[30:])
    return predictor


def log_untrained(model_family, folder):
    """Save such a predictor in ``folder`` and log it; returns the model's URI."""
    untrained(model_family).save(folder)
    example = load_dataset("classics").crystals[0].cif
    with runs.tracked_run(f"{model_family}, untrained"):
        return registry.log_predictor(folder, model_family, example, "none")
