"""What reads the features of a picture: palette and patch tokens in, one number out."""

import math

import torch
from torch import nn

from supervision.vision.palette import PALETTE


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
    """Standardised features ``[b, PALETTE + tokens]``, the palette first -> ``[b]``.

    The thousands of pooled token features pass a narrow, half dropped-out gate beside the forty of
    the palette; without it the head learns them by heart and is worse for having them.
    """

    def __init__(
        self, tokens: int, *, gate: int = 32, hidden: int = 512, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.palette = PeriodicEmbedding(PALETTE)
        self.tokens = nn.Sequential(nn.Dropout(0.5), nn.Linear(tokens, gate), nn.GELU())
        width = self.palette.bias.numel() + gate
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

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[b, PALETTE + tokens]`` -> ``[b]``."""
        colours, tokens = features[:, :PALETTE], features[:, PALETTE:]
        read = torch.cat([self.palette(colours), self.tokens(tokens)], dim=1)
        return self.perceptron(read).squeeze(-1)
