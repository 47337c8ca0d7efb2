"""Colour statistics of an image: how much of it is not black, and how its colours are distributed.

The colours encode element properties. A transformer trained on photographs keeps them only roughly,
because its first layer normalises them; these statistics go to the head directly.
"""

import torch

QUANTILES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
N_COLOUR_STATISTICS = 1 + 3 * (4 + len(QUANTILES))
_CHANNEL_PAIRS = ((0, 1), (0, 2), (1, 2))


def colour_statistics(images: torch.Tensor) -> torch.Tensor:
    """uint8 RGB images ``[b, 3, h, w]`` -> ``[b, N_COLOUR_STATISTICS]``, float32.

    Computed over the pixels that are not black, with levels scaled from 0..255 to 0..1:

    - the fraction of such pixels in the image;
    - mean, standard deviation and third central moment of red, green and blue;
    - covariances of red and green, red and blue, green and blue;
    - QUANTILES of red, then of green, then of blue.

    All are zero for a black image.
    """
    if images.device.type == "mps":  # Apple's GPUs have no double precision
        return colour_statistics(images.cpu()).to(images.device)
    flat = images.flatten(2)  # [b, 3, h * w]
    counts = _histograms(flat)  # [b, 3, 256]
    visible = counts[:, :1].sum(dim=2)  # [b, 1]
    number = visible.clamp_min(1)
    level = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    mean = (counts @ level) / number  # [b, 3]
    deviation = level - mean[..., None]  # [b, 3, 256]
    square, cube = ((counts * deviation**power).sum(dim=2) / number for power in (2, 3))
    with torch.autocast(images.device.type, enabled=False):
        values = flat.float()
        products = (values @ values.mT).double() / (255**2 * number[..., None])  # [b, 3, 3]
    covariance = products - mean[:, :, None] * mean[:, None, :]
    covariances = [covariance[:, i, j, None] for i, j in _CHANNEL_PAIRS]
    fraction = visible / flat.shape[2]
    quantiles = _quantiles(counts, visible)
    return torch.cat([fraction, mean, square.sqrt(), cube, *covariances, quantiles], dim=1).float()


def _histograms(flat: torch.Tensor) -> torch.Tensor:
    """Histogram of the levels of visible pixels, by image and channel: ``[b, 3, 256]``."""
    batch = len(flat)
    first_bin = 256 * torch.arange(3 * batch, dtype=torch.int32, device=flat.device)
    bins = first_bin.view(batch, 3, 1) + flat  # separate bins for each image and channel
    counts = torch.bincount(bins.flatten(), minlength=3 * 256 * batch).view(batch, 3, 256)
    black = (flat[:, 0] | flat[:, 1] | flat[:, 2]) == 0
    counts[..., 0] -= black.sum(dim=1, keepdim=True)
    return counts.double()


def _quantiles(counts: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """The lowest level with at least each fraction of the visible pixels at or below it."""
    needed = torch.tensor(QUANTILES, dtype=torch.float64, device=counts.device) * visible
    needed = needed[:, None].expand(-1, 3, -1).contiguous()  # [b, 3, quantiles]
    return torch.searchsorted(counts.cumsum(dim=2), needed).flatten(1).double() / 255
