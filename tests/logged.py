"""A small logged model of each model_family, without a training."""

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.models.composition.predictor import CompositionConfig, CompositionPredictor
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.weights import get_weights
from supervision.training.state import FitConfig
from tracking import runs
from tracking.serving import registry

MODEL_FAMILIES = ("vision", "graph", "composition")


def untrained(model_family):
    """A predictor whose numbers mean nothing, but are always the same."""
    if model_family == "vision":
        weights = get_weights("none", "vision")
        return VisionPredictor(VisionConfig(views=2), weights, FitConfig(), quiet=True)
    if model_family == "graph":
        return GraphPredictor(GraphConfig(), get_weights("none", "graph"), FitConfig(), quiet=True)
    predictor = CompositionPredictor(CompositionConfig(trees=20), quiet=True)
    materials = group_materials(load_dataset("classics").crystals[:40])
    predictor.fit(materials[:30], materials[30:])
    return predictor


def log_untrained(model_family, folder):
    """The URI of such a model in the tracking store that is set, saved in ``folder`` before."""
    untrained(model_family).save(folder)
    example = load_dataset("classics").crystals[0].cif
    with runs.tracked_run(f"{model_family}, untrained"):
        return registry.log_predictor(folder, model_family, example, "none")
