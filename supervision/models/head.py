"""What reads a crystal's features: a few plain numbers and many states in, one number out."""

import math

import torch
from torch import nn


class PeriodicEmbedding(nn.Module):
    """Numbers ``[b, n]`` -> ``[b, n * width]``: each by itself through sines of learned frequency.

    Tc jumps where a colour hardly changes; a perceptron on the plain number is too smooth for
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
    """Standardised features ``[b, plain + states]`` -> ``[b]``.

    The plain numbers come first: colours of a picture, properties averaged over a composition.
    Beside them the many pooled states of a backbone pass a narrow, half dropped-out gate; without
    it the head learns them by heart and is worse for having them.
    """

    def __init__(
        self, plain: int, states: int, *, gate: int, hidden: int = 512, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.plain = PeriodicEmbedding(plain)
        self.states = nn.Sequential(nn.Dropout(0.5), nn.Linear(states, gate), nn.GELU())
        width = self.plain.bias.numel() + gate
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
        """Features ``[b, plain + states]`` -> what the perceptron reads of them."""
        numbers, states = features.split(
            [self.plain.bias.shape[0], features.shape[1] - self.plain.bias.shape[0]], dim=1
        )
        return torch.cat([self.plain(numbers), self.states(states)], dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[b, plain + states]`` -> ``[b]``."""
        return self.perceptron(self.embed(features)).squeeze(-1)
