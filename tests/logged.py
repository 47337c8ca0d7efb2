"""A small logged model of each paradigm, without a training."""

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

PARADIGMS = ("vision", "graph", "composition")


def untrained(paradigm):
    """A predictor whose numbers mean nothing, but are always the same."""
    if paradigm == "vision":
        weights = get_weights("none", "vision")
        return VisionPredictor(VisionConfig(views=2), weights, FitConfig(), quiet=True)
    if paradigm == "graph":
        return GraphPredictor(GraphConfig(), get_weights("none", "graph"), FitConfig(), quiet=True)
    predictor = CompositionPredictor(CompositionConfig(trees=20), quiet=True)
    materials = group_materials(load_dataset("classics").crystals[:40])
    predictor.fit(materials[:30], materials[30:])
    return predictor


def log_untrained(paradigm, folder):
    """The URI of such a model in the tracking store that is set, saved in ``folder`` before."""
    untrained(paradigm).save(folder)
    example = load_dataset("classics").crystals[0].cif
    with runs.tracked_run(f"{paradigm}, untrained"):
        return registry.log_predictor(folder, paradigm, example, "none")
