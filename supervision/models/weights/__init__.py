"""Pretrained weights: what they are, where they come from, and the proof that they are those."""

from supervision.models.weights.catalogue import GraphWeights, ImageWeights, Weights
from supervision.models.weights.fetch import Fetched, get_weights, row_of
from supervision.models.weights.sources import StateDict, WeightsError

__all__ = [
    "Fetched",
    "GraphWeights",
    "ImageWeights",
    "StateDict",
    "Weights",
    "WeightsError",
    "get_weights",
    "row_of",
]
