"""Pretrained weights: a catalogue, the sources to download from, and checksum verification."""

from supervision.models.weights.catalogue import CatalogueEntry, GraphWeights, ImageWeights
from supervision.models.weights.fetch import (
    Fetched,
    catalogue_entry,
    get_same_weights,
    get_weights,
)
from supervision.models.weights.sources import StateDict, WeightsError

__all__ = [
    "CatalogueEntry",
    "Fetched",
    "GraphWeights",
    "ImageWeights",
    "StateDict",
    "WeightsError",
    "catalogue_entry",
    "get_same_weights",
    "get_weights",
]
