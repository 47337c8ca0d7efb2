"""The palette of a picture: how much of it is shown, and how its colours are distributed.

The colours carry the physics, and a transformer that was trained on photographs keeps them only
roughly: its first layer normalises them away. The palette hands them to the head as they are.
"""

import torch

QUANTILES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
PALETTE = 1 + 3 * (4 + len(QUANTILES))
_PAIRS = ((0, 1), (0, 2), (1, 2))


def palette(images: torch.Tensor) -> torch.Tensor:
    """uint8 RGB images ``[b, 3, h, w]`` -> ``[b, PALETTE]``, float32, a channel's 255 being 1.

    Of the pixels that are not black: their share of the picture; then for red, green and blue the
    mean, the standard deviation and the third central moment; the covariances of red and green,
    red and blue, green and blue; the QUANTILES of red, then of green, then of blue. A picture that
    shows nothing has zeros.
    """
    if images.device.type == "mps":  # Apple's GPUs know no double precision
        return palette(images.cpu()).to(images.device)
    flat = images.flatten(2)  # [b, 3, h * w]
    counts = _histograms(flat)  # [b, 3, 256]
    shown = counts[:, :1].sum(dim=2)  # [b, 1]
    number = shown.clamp_min(1)
    level = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    mean = (counts @ level) / number  # [b, 3]
    away = level - mean[..., None]  # [b, 3, 256]
    square, cube = ((counts * away**power).sum(dim=2) / number for power in (2, 3))
    with torch.autocast(images.device.type, enabled=False):
        values = flat.float()
        products = (values @ values.mT).double() / (255**2 * number[..., None])  # [b, 3, 3]
    together = products - mean[:, :, None] * mean[:, None, :]
    covariances = [together[:, i, j, None] for i, j in _PAIRS]
    share = shown / flat.shape[2]
    quantiles = _quantiles(counts, shown)
    return torch.cat([share, mean, square.sqrt(), cube, *covariances, quantiles], dim=1).float()


def _histograms(flat: torch.Tensor) -> torch.Tensor:
    """How many of the shown pixels have each level, by picture and channel: ``[b, 3, 256]``."""
    batch = len(flat)
    first = 256 * torch.arange(3 * batch, dtype=torch.int32, device=flat.device)
    levels = first.view(batch, 3, 1) + flat  # each channel of each picture by itself
    counts = torch.bincount(levels.flatten(), minlength=3 * 256 * batch).view(batch, 3, 256)
    black = (flat[:, 0] | flat[:, 1] | flat[:, 2]) == 0
    counts[..., 0] -= black.sum(dim=1, keepdim=True)
    return counts.double()


def _quantiles(counts: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """The lowest level that at least each share of the shown pixels does not exceed."""
    needed = torch.tensor(QUANTILES, dtype=torch.float64, device=counts.device) * shown
    needed = needed[:, None].expand(-1, 3, -1).contiguous()  # [b, 3, quantiles]
    return torch.searchsorted(counts.cumsum(dim=2), needed).flatten(1).double() / 255
