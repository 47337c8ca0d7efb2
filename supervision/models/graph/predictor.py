"""The predictor of the graph family: graphs, ALIGNN, a head."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import nn

from supervision.data.crystals import Crystal, Material
from supervision.data.featurize import Featurizer, featurize_all
from supervision.models.graph.batch import collate
from supervision.models.graph.build import DEFAULT_NEIGHBOURHOOD, Neighbourhood
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.featurize import GRAPH_VERSION, graph_featurizer
from supervision.models.graph.model import GraphRegressor
from supervision.models.graph.symmetry_folding import FoldedGraph
from supervision.models.neural import NeuralPredictor
from supervision.models.weights import Fetched, GraphWeights
from supervision.runtime.device import one_cpu_thread

# Of a graph for which threads wait for each other longer than they compute, most of all in a thread
# of a server, which shares the cores with the threads of others.
FEW_ANGLES = 3_000


class GraphPredictor(NeuralPredictor):
    """Builds graphs of crystals and reads them with ALIGNN, in kelvin."""

    model_family = "graph"
    config_class = GraphConfig
    features_version = ("graph", GRAPH_VERSION)
    config: GraphConfig

    def build(self, fetched: Fetched) -> GraphRegressor:
        """ALIGNN and a head on its atom states.

        Weights that learned from radius graphs are given those, where no other are asked for.
        """
        self.neighbourhood = neighbourhood_of(fetched, self.config.neighbours)
        self.graphs = graph_featurizer_for(fetched, self.config.backend, self.config.neighbours)
        model = GraphRegressor(fetched, self.config)
        depth = len(_layers(model.backbone))
        if self.config.trained_layers > depth:
            raise ValueError(
                f"trained_layers must be 0 (all) to {depth}, got {self.config.trained_layers}."
            )
        return model

    def cache_key(self) -> tuple[Any, ...]:
        """As in all networks, with the kind of graph and the backend."""
        return (*super().cache_key(), self.graphs.name, self.config.backend)

    def adapt(self) -> None:
        """Train all of ALIGNN, or its last layers."""
        last = self.config.trained_layers
        self.model.backbone.requires_grad_(not last)
        for layer in _layers(self.model.backbone)[-last:] if last else ():
            layer.requires_grad_(True)

    def samples(self, train: Sequence[Material], val: Sequence[Material]) -> GraphSamples:
        """The graphs for training and validation."""
        config = self.config
        crystals = [c for part in (train, val) for m in part for c in m.crystals]
        graphs = featurize_all(self.graphs, crystals, quiet=self.quiet)
        targets = self.target.encode([m.tc for m in train])
        return GraphSamples(
            train, val, targets, graphs, config.batch_size, config.angle_budget, config.seed
        )

    def forward_crystal(self, crystal: Crystal) -> np.ndarray:
        """One output: a graph has one view."""
        batch = collate([self.graphs.featurize(crystal)]).to(self.device)
        is_small = len(batch.angles) <= FEW_ANGLES
        with one_cpu_thread() if is_small else nullcontext():
            return self.model(batch).cpu().numpy()


def _layers(backbone: Any) -> list[nn.Module]:
    """The ALIGNN layers (angles and bonds), then the GCN layers (bonds), in order."""
    return [*backbone.alignn_layers, *backbone.gcn_layers]


def graph_featurizer_for(
    fetched: Fetched, backend: str = "pure", neighbours: int = 0
) -> Featurizer[FoldedGraph]:
    """The featurizer for a network that starts from these weights.

    Graphs are folded by symmetry, but not for DGL's layers, which have no multiplicities, and not
    for networks with batch norm, whose statistics would count equivalent atoms once.
    """
    unfolded = backend == "dgl" or fetched.entry.architecture == "alignn"
    return graph_featurizer(neighbourhood_of(fetched, neighbours), folded=not unfolded)


def neighbourhood_of(fetched: Fetched, neighbours: int = 0) -> Neighbourhood:
    """The neighbourhood of so many neighbours; for 0, the one that these weights were trained on.

    The config published with the weights has precedence over the catalogue entry.
    """
    if neighbours:
        return Neighbourhood(neighbours)
    entry, config = fetched.entry, fetched.config
    assert isinstance(entry, GraphWeights)
    rule = config.get("neighbor_strategy", entry.neighbour_strategy)
    if rule == "k-nearest":
        return Neighbourhood(nearest=config.get("max_neighbors", DEFAULT_NEIGHBOURHOOD.nearest))
    return Neighbourhood(nearest=1, within=config.get("cutoff", entry.cutoff))
