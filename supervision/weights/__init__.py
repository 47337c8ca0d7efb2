"""Pretrained weights: what they are, where they come from, and the proof that they are those."""

from supervision.weights.fetch import Fetched, get_weights, row_of
from supervision.weights.sources import StateDict, WeightsError
from supervision.weights.table import GraphWeights, ImageWeights, Weights

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
