"""Graphs -> one number: ALIGNN and a head."""

import torch
from torch import nn

from supervision.models.graph.backbone import (
    ATOM_FEATURES,
    create_backbone,
    load_pretrained,
    scatter_sum,
    walk,
    walk_dgl,
)
from supervision.models.graph.batch import GraphBatch
from supervision.models.graph.config import GraphConfig
from supervision.models.head import Head
from supervision.models.weights import Fetched

PROPERTIES = 23
PLAIN = ATOM_FEATURES + PROPERTIES
LEVELS = 3
GATE = 128  # how many numbers the head makes of all atom states


class GraphRegressor(nn.Module):
    """A batch of graphs -> model-space targets ``[b]``.

    A crystal's features are, of its composition, the means of CGCNN's and Magpie's tables; and of
    its atom states at three depths (embedded, after the layers that see angles, after the last)
    mean and deviation over the atoms. They are standardised with the training set's mean and
    deviation.
    """

    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(self, fetched: Fetched, config: GraphConfig) -> None:
        super().__init__()
        self.backbone = create_backbone(fetched.row.architecture, config.backend, fetched.config)
        if fetched.pretrained:
            load_pretrained(self.backbone, fetched)
        self.walk = walk_dgl if config.backend == "dgl" else walk
        states = 2 * LEVELS * self.backbone.config.hidden_features
        self.register_buffer("feature_mean", torch.zeros(PLAIN + states))
        self.register_buffer("feature_std", torch.ones(PLAIN + states))
        self.head = Head(PLAIN, states, gate=GATE, dropout=config.dropout)

    def features(self, batch: GraphBatch) -> torch.Tensor:
        """Composition and pooled states, ``[b, 115 + 6 * hidden]``."""
        states = self.walk(self.backbone, batch)
        seen = (states[0], states[len(self.backbone.alignn_layers)], states[-1])
        pooled = [moment for x in seen for moment in pool(x.float(), batch)]
        return torch.cat([composition(batch), *pooled], dim=1)

    def regress(self, features: torch.Tensor) -> torch.Tensor:
        """Features -> ``[b]``."""
        with torch.autocast(features.device.type, enabled=False):
            return self.head((features - self.feature_mean) / self.feature_std)

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        """Graphs -> ``[b]``."""
        return self.regress(self.features(batch))

    def standardise(self, features: torch.Tensor) -> None:
        """Take mean and deviation from the training set's features.

        What is the same in all of them (a group of elements that none has) is only centred, so that
        the first crystal that differs is not a thousand deviations away.
        """
        spread = features.std(dim=0, correction=0)
        self.feature_mean.copy_(features.mean(dim=0))
        self.feature_std.copy_(torch.where(spread > 1e-4, spread, 1.0))


def composition(batch: GraphBatch) -> torch.Tensor:
    """``[b, 115]``: CGCNN features a site, Magpie's properties an atom, and the occupancy."""
    features, properties = (pool(x, batch)[0] for x in (batch.features, batch.properties))
    occupancy = properties[:, -1:]
    return torch.cat([features, properties[:, :-1] / occupancy, occupancy], dim=1)


def pool(x: torch.Tensor, batch: GraphBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of ``[n, f]`` over the atoms of each crystal, copies counted."""
    copies = batch.atoms[:, None]
    number = scatter_sum(copies, batch.crystal, batch.size)
    mean = scatter_sum(copies * x, batch.crystal, batch.size) / number  # [b, f]
    square = (x - mean[batch.crystal]).square()
    variance = scatter_sum(copies * square, batch.crystal, batch.size) / number
    return mean, (variance + 1e-6).sqrt()
