"""The layers of ALIGNN in plain PyTorch, with alignn's parameter names.

Published alignn checkpoints load into it strictly, and it trains without alignn and DGL. The
forward pass is ``supervision.models.graph.backbone.forward_states``.
Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021).
"""

from dataclasses import dataclass

import torch
from torch import nn

RBF_CUTOFF_ANGSTROM = 8.0  # centre of the last radial basis function of edge lengths
Norm = type[nn.LayerNorm] | type[nn.BatchNorm1d]


@dataclass(frozen=True)
class AlignnConfig:
    """The shape of a network; the defaults are those of alignn's published models.

    Attributes:
        use_cutoff_function: apply the cutoff envelope to edge lengths, or with
            ``multiply_cutoff`` to edge states instead.
        inner_cutoff: cutoff of the envelope in angstrom.
        exponent: exponent of the envelope; a higher one is steeper.
    """

    alignn_layers: int = 4
    gcn_layers: int = 4
    atom_input_features: int = 92
    edge_input_features: int = 80
    triplet_input_features: int = 40
    embedding_features: int = 64
    hidden_features: int = 256
    output_features: int = 1
    use_cutoff_function: bool = False
    multiply_cutoff: bool = False
    inner_cutoff: float = 3.0
    exponent: int = 5


class Alignn(nn.Module):
    """The parameters; ``norm`` is layer norm (``alignn_atomwise``) or batch norm (``alignn``)."""

    def __init__(self, config: AlignnConfig, norm: Norm) -> None:
        super().__init__()
        self.config = config
        embedding, hidden = config.embedding_features, config.hidden_features
        self.atom_embedding = _MLPLayer(config.atom_input_features, hidden, norm)
        self.edge_embedding = nn.Sequential(
            _RBFExpansion(0.0, RBF_CUTOFF_ANGSTROM, config.edge_input_features),
            _MLPLayer(config.edge_input_features, embedding, norm),
            _MLPLayer(embedding, hidden, norm),
        )
        self.angle_embedding = nn.Sequential(
            _RBFExpansion(-1.0, 1.0, config.triplet_input_features),
            _MLPLayer(config.triplet_input_features, embedding, norm),
            _MLPLayer(embedding, hidden, norm),
        )
        self.alignn_layers = nn.ModuleList(
            _ALIGNNConv(hidden, norm) for _ in range(config.alignn_layers)
        )
        self.gcn_layers = nn.ModuleList(
            _EdgeGatedGraphConv(hidden, norm) for _ in range(config.gcn_layers)
        )
        self.fc = nn.Linear(hidden, config.output_features)


class _MLPLayer(nn.Module):
    """``[n, in_features]`` -> ``[n, out_features]``."""

    def __init__(self, in_features: int, out_features: int, norm: Norm) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Linear(in_features, out_features), norm(out_features), nn.SiLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class _RBFExpansion(nn.Module):
    """``[n]`` -> ``[n, count]``: Gaussians with evenly spaced centres from ``low`` to ``high``."""

    centers: torch.Tensor

    def __init__(self, low: float, high: float, count: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.linspace(low, high, count))
        self.gamma = 1 / float(self.centers.diff().mean())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(-self.gamma * (x[:, None] - self.centers) ** 2)


class _EdgeGatedGraphConv(nn.Module):
    """The parameters of an edge-gated graph convolution."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.src_gate = nn.Linear(width, width)
        self.dst_gate = nn.Linear(width, width)
        self.edge_gate = nn.Linear(width, width)
        self.bn_edges = norm(width)
        self.src_update = nn.Linear(width, width)
        self.dst_update = nn.Linear(width, width)
        self.bn_nodes = norm(width)


class _ALIGNNConv(nn.Module):
    """A convolution on the atom graph, then one on the line graph."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.node_update = _EdgeGatedGraphConv(width, norm)
        self.edge_update = _EdgeGatedGraphConv(width, norm)


def cutoff_envelope(distance: torch.Tensor, config: AlignnConfig) -> torch.Tensor:
    """Distances ``[m]`` -> ``[m]``, from 1 at distance 0 smoothly to 0 at the cutoff and beyond.

    The polynomial envelope of Gasteiger, Gross and Guennemann, ICLR 2020, equation 8. Its first
    and second derivatives are 0 at the cutoff.
    """
    x, p = distance / config.inner_cutoff, config.exponent
    envelope = (
        1
        - (p + 1) * (p + 2) / 2 * x**p
        + p * (p + 2) * x ** (p + 1)
        - p * (p + 1) / 2 * x ** (p + 2)
    )
    return torch.where(distance <= config.inner_cutoff, envelope, 0.0)
