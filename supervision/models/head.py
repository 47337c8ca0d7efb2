"""The regression head: standardised features of a crystal -> one number."""

import math

import torch
from torch import nn


class PeriodicEmbedding(nn.Module):
    """Numbers ``[b, n]`` -> ``[b, n * width]``: each number through sines of learned frequency.

    Tc can change sharply where an input changes little; an MLP on the raw number is too smooth for
    that. Gorishniy, Rubachev and Babenko, NeurIPS 2022, section 3.3 ("PLR").
    """

    def __init__(
        self, count: int, *, frequencies: int = 16, width: int = 8, scale: float = 1.5
    ) -> None:
        super().__init__()
        self.frequency = nn.Parameter(scale * torch.randn(count, frequencies))
        weight = torch.randn(count, 2 * frequencies, width) / math.sqrt(2 * frequencies)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(count, width))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Numbers ``[b, n]`` -> ``[b, n * width]``."""
        phase = 2 * math.pi * numbers[..., None] * self.frequency  # [b, n, frequencies]
        waves = torch.cat([phase.sin(), phase.cos()], dim=-1)
        embedded = torch.einsum("bnf,nfw->bnw", waves, self.weight) + self.bias
        return embedded.relu().flatten(1)


class Head(nn.Module):
    """Standardised features ``[b, n_direct + n_states]`` -> ``[b]``.

    The first ``n_direct`` features are physical descriptors: colour statistics of an image, or
    properties averaged over a composition. The other ``n_states`` are pooled backbone states. They
    pass a bottleneck with dropout 0.5; without it the head overfits to them.
    """

    def __init__(
        self,
        n_direct: int,
        n_states: int,
        *,
        bottleneck: int,
        hidden: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.plain = PeriodicEmbedding(n_direct)
        self.states = nn.Sequential(nn.Dropout(0.5), nn.Linear(n_states, bottleneck), nn.GELU())
        width = self.plain.bias.numel() + bottleneck
        self.perceptron = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[b, n_direct + n_states]`` -> the input ``[b, width]`` of the perceptron."""
        n_direct = self.plain.bias.shape[0]
        direct, states = features.split([n_direct, features.shape[1] - n_direct], dim=1)
        return torch.cat([self.plain(direct), self.states(states)], dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[b, n_direct + n_states]`` -> ``[b]``."""
        return self.perceptron(self.embed(features)).squeeze(-1)
