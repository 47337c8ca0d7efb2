"""ALIGNN's parameters under the names that alignn gives them, in plain PyTorch.

What alignn publishes loads into it strictly, and a machine without alignn and DGL can train it. The
way through its layers is ``supervision.models.graph.backbone.walk``.
Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021).
"""

from dataclasses import dataclass

import torch
from torch import nn

FARTHEST = 8.0  # angstrom: the last of the radial functions
Norm = type[nn.LayerNorm] | type[nn.BatchNorm1d]


@dataclass(frozen=True)
class AlignnConfig:
    """The shape of a network; the defaults are those of alignn's published models.

    Attributes:
        use_cutoff_function: fade edges out towards ``inner_cutoff`` (angstrom), the steeper the
            higher the ``exponent``; ``multiply_cutoff`` fades their states and not their lengths.
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
    """The layers; ``norm`` is layer norm (``alignn_atomwise``) or batch norm (``alignn``)."""

    def __init__(self, config: AlignnConfig, norm: Norm) -> None:
        super().__init__()
        self.config = config
        small, hidden = config.embedding_features, config.hidden_features
        self.atom_embedding = _Perceptron(config.atom_input_features, hidden, norm)
        self.edge_embedding = nn.Sequential(
            _RadialFunctions(0.0, FARTHEST, config.edge_input_features),
            _Perceptron(config.edge_input_features, small, norm),
            _Perceptron(small, hidden, norm),
        )
        self.angle_embedding = nn.Sequential(
            _RadialFunctions(-1.0, 1.0, config.triplet_input_features),
            _Perceptron(config.triplet_input_features, small, norm),
            _Perceptron(small, hidden, norm),
        )
        self.alignn_layers = nn.ModuleList(_Pair(hidden, norm) for _ in range(config.alignn_layers))
        self.gcn_layers = nn.ModuleList(_Gated(hidden, norm) for _ in range(config.gcn_layers))
        self.fc = nn.Linear(hidden, config.output_features)


class _Perceptron(nn.Module):
    """``[n, width]`` -> ``[n, out]``."""

    def __init__(self, width: int, out: int, norm: Norm) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(width, out), norm(out), nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class _RadialFunctions(nn.Module):
    """``[n]`` -> ``[n, count]``: bell curves whose centres are evenly spaced from low to high."""

    centers: torch.Tensor

    def __init__(self, low: float, high: float, count: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.linspace(low, high, count))
        self.gamma = 1 / float(self.centers.diff().mean())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(-self.gamma * (x[:, None] - self.centers) ** 2)


class _Gated(nn.Module):
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


class _Pair(nn.Module):
    """A convolution over atoms and bonds, then one over bonds and angles."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.node_update = _Gated(width, norm)
        self.edge_update = _Gated(width, norm)


def fade(distance: torch.Tensor, config: AlignnConfig) -> torch.Tensor:
    """``[m]`` from 1 at distance 0 to 0 at the cutoff, there with two smooth derivatives, and on.

    Gasteiger, Gross and Guennemann, ICLR 2020, equation 8.
    """
    x, p = distance / config.inner_cutoff, config.exponent
    envelope = (
        1
        - (p + 1) * (p + 2) / 2 * x**p
        + p * (p + 2) * x ** (p + 1)
        - p * (p + 1) / 2 * x ** (p + 2)
    )
    return torch.where(distance <= config.inner_cutoff, envelope, 0.0)
