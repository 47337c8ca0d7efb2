"""Graphs -> one number: ALIGNN and a head."""

import torch
from torch import nn

from supervision.models.graph.backbone import (
    ATOM_FEATURES,
    create_backbone,
    forward_states,
    forward_states_dgl,
    load_pretrained,
    scatter_sum,
)
from supervision.models.graph.batch import GraphBatch
from supervision.models.graph.config import GraphConfig
from supervision.models.head import Head
from supervision.models.weights import Fetched

N_PROPERTIES = 23  # Magpie's 22 properties and the occupancy
N_COMPOSITION_FEATURES = ATOM_FEATURES + N_PROPERTIES
N_FEATURE_DEPTHS = 3  # depths of the backbone whose atom states are features
BOTTLENECK_WIDTH = 128  # the head's numbers for all atom states


class GraphRegressor(nn.Module):
    """A batch of graphs -> transformed targets ``[b]``.

    The features of a crystal are the mean CGCNN features and Magpie properties of its composition,
    and mean and standard deviation of its atom states at three depths: embedded, after the ALIGNN
    layers, and after the last layer. They are standardised with mean and standard deviation of the
    training set.
    """

    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(self, fetched: Fetched, config: GraphConfig) -> None:
        super().__init__()
        self.backbone = create_backbone(fetched.entry.architecture, config.backend, fetched.config)
        if fetched.pretrained:
            load_pretrained(self.backbone, fetched)
        self.forward_states = forward_states_dgl if config.backend == "dgl" else forward_states
        n_states = 2 * N_FEATURE_DEPTHS * self.backbone.config.hidden_features
        self.register_buffer("feature_mean", torch.zeros(N_COMPOSITION_FEATURES + n_states))
        self.register_buffer("feature_std", torch.ones(N_COMPOSITION_FEATURES + n_states))
        self.head = Head(
            N_COMPOSITION_FEATURES, n_states, bottleneck=BOTTLENECK_WIDTH, dropout=config.dropout
        )

    def features(self, batch: GraphBatch) -> torch.Tensor:
        """Composition features and pooled states, ``[b, 115 + 6 * hidden]``."""
        states = self.forward_states(self.backbone, batch)
        depths = (states[0], states[len(self.backbone.alignn_layers)], states[-1])
        pooled = [moment for x in depths for moment in pool(x.float(), batch)]
        return torch.cat([pool_composition(batch), *pooled], dim=1)

    def regress(self, features: torch.Tensor) -> torch.Tensor:
        """Features as returned by ``features`` -> ``[b]``."""
        with torch.autocast(features.device.type, enabled=False):
            return self.head((features - self.feature_mean) / self.feature_std)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Graphs -> ``[b]``."""
        return self.regress(self.features(batch))

    def standardise(self, features: torch.Tensor) -> None:
        """Set the mean and standard deviation for standardisation from training features.

        Constant features (such as a group of elements that the training set lacks) are centred but
        not scaled. Otherwise a crystal that differs would be a thousand deviations away.
        """
        spread = features.std(dim=0, correction=0)
        self.feature_mean.copy_(features.mean(dim=0))
        self.feature_std.copy_(torch.where(spread > 1e-4, spread, 1.0))


def pool_composition(batch: GraphBatch) -> torch.Tensor:
    """``[b, 115]``: CGCNN features per site, Magpie's properties per atom, and the occupancy."""
    features, properties = (pool(x, batch)[0] for x in (batch.features, batch.properties))
    occupancy = properties[:, -1:]
    return torch.cat([features, properties[:, :-1] / occupancy, occupancy], dim=1)


def pool(x: torch.Tensor, batch: GraphBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation ``[b, f]`` of ``[n, f]`` over the atoms of each crystal.

    Atoms are weighted by their multiplicity.
    """
    copies = batch.atoms[:, None]
    number = scatter_sum(copies, batch.crystal, batch.size)
    mean = scatter_sum(copies * x, batch.crystal, batch.size) / number  # [b, f]
    square = (x - mean[batch.crystal]).square()
    variance = scatter_sum(copies * square, batch.crystal, batch.size) / number
    return mean, (variance + 1e-6).sqrt()
