"""The graph paradigm as a predictor: graphs, ALIGNN, a head."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from supervision.data.crystals import Crystal, Material
from supervision.data.featurize import Featurizer, featurize_all
from supervision.models.graph.batch import collate
from supervision.models.graph.build import TWELVE, Neighbourhood
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.featurize import GRAPH_VERSION, graphs
from supervision.models.graph.model import GraphRegressor
from supervision.models.graph.symmetry_folding import FoldedGraph
from supervision.models.neural import NeuralPredictor
from supervision.models.weights import Fetched, GraphWeights


class GraphPredictor(NeuralPredictor):
    """Builds the graphs of crystals and reads them with ALIGNN, in kelvin."""

    model_family = "graph"
    config_class = GraphConfig
    recipe = ("graph", GRAPH_VERSION)
    config: GraphConfig

    def build(self, fetched: Fetched) -> GraphRegressor:
        """ALIGNN and a head on its atom states.

        Weights that learned from radius graphs are given those, where no other are asked for.
        """
        self.graphs = graph_featurizer_for(fetched, self.config.backend, self.config.neighbours)
        model = GraphRegressor(fetched, self.config)
        depth = len(_layers(model.backbone))
        if self.config.trained_layers > depth:
            raise ValueError(
                f"trained_layers must be 0 (all) to {depth}, got {self.config.trained_layers}."
            )
        return model

    def frozen(self) -> tuple[Any, ...]:
        """As of every network, of the graphs, and of who reads them."""
        return (*super().frozen(), self.graphs.name, self.config.backend)

    def adapt(self) -> None:
        """All of ALIGNN, or its last layers."""
        last = self.config.trained_layers
        self.model.backbone.requires_grad_(not last)
        for layer in _layers(self.model.backbone)[-last:] if last else ():
            layer.requires_grad_(True)

    def samples(self, train: Sequence[Material], val: Sequence[Material]) -> GraphSamples:
        """The graphs to learn from and to be chosen by."""
        config = self.config
        crystals = [c for part in (train, val) for m in part for c in m.crystals]
        prepared = featurize_all(self.graphs, crystals, quiet=self.quiet)
        targets = self.target.encode([m.tc for m in train])
        return GraphSamples(
            train, val, targets, prepared, config.batch_size, config.angle_budget, config.seed
        )

    def read(self, crystal: Crystal) -> np.ndarray:
        """One output: a graph has one view."""
        batch = collate([self.graphs.of(crystal)]).to(self.device)
        return self.model(batch).cpu().numpy()


def _layers(backbone: Any) -> list[nn.Module]:
    """Those that see angles, then those that see bonds alone."""
    return [*backbone.alignn_layers, *backbone.gcn_layers]


def graph_featurizer_for(
    fetched: Fetched, backend: str = "pure", neighbours: int = 0
) -> Featurizer[FoldedGraph]:
    """How the graphs are made that a network of these weights reads.

    DGL's layers know no copies, and batch norm would count each kind once: for these graphs stay
    unfolded.
    """
    plain = backend == "dgl" or fetched.row.architecture == "alignn"
    around = Neighbourhood(neighbours) if neighbours else neighbourhood_of(fetched)
    return graphs(around, folded=not plain)


def neighbourhood_of(fetched: Fetched) -> Neighbourhood:
    """What our graphs hold for these weights: the neighbours that they learned from.

    What was published with them says more than their row does.
    """
    row, config = fetched.row, fetched.config
    assert isinstance(row, GraphWeights)
    rule = config.get("neighbor_strategy", row.rule)
    if rule == "k-nearest":
        return Neighbourhood(nearest=config.get("max_neighbors", TWELVE.nearest))
    return Neighbourhood(nearest=1, within=config.get("cutoff", row.cutoff))
