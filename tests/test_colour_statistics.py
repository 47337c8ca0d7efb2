"""Colour statistics of images, and the regression head."""

import numpy as np
import pytest
import torch

from supervision.models.head import Head, PeriodicEmbedding
from supervision.models.vision.colour_statistics import (
    N_COLOUR_STATISTICS,
    QUANTILES,
    colour_statistics,
)


@pytest.fixture
def images():
    """Three images of noise with black parts, one of them grey, and a black one."""
    rng = torch.Generator().manual_seed(0)
    found = torch.randint(0, 256, (4, 3, 56, 56), generator=rng, dtype=torch.uint8)
    found = found * (torch.rand(4, 1, 56, 56, generator=rng) > 0.6)
    found[1, :] = found[1, :1]
    found[3] = 0
    return found


def by_numpy(image):
    """The same statistics with numpy's functions."""
    pixels = image.flatten(1).numpy().T.astype(float) / 255
    visible = pixels[pixels.max(axis=1) > 0]
    deviation = visible - visible.mean(axis=0)
    pairs = [(deviation[:, i] * deviation[:, j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    quantiles = np.quantile(visible, QUANTILES, axis=0, method="inverted_cdf").T.ravel()
    fraction = len(visible) / len(pixels)
    moments = [visible.mean(axis=0), visible.std(axis=0), (deviation**3).mean(axis=0)]
    return np.concatenate([[fraction], *moments, pairs, quantiles])


def test_colour_statistics_agree_with_numpy(images):
    found = colour_statistics(images)
    assert found.shape == (4, N_COLOUR_STATISTICS)
    assert found.dtype == torch.float32
    for image, row in zip(images[:3], found, strict=False):
        np.testing.assert_allclose(row, by_numpy(image), atol=2e-6)


def test_a_black_image_has_zero_statistics(images):
    assert not colour_statistics(images)[3].any()


def test_statistics_do_not_depend_on_batch_pixel_positions_or_autocast(images):
    found = colour_statistics(images)
    assert torch.equal(colour_statistics(images[2:3])[0], found[2])
    assert torch.equal(colour_statistics(images.flip(2, 3).transpose(2, 3)), found)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(colour_statistics(images), found)


def test_periodic_embedding_agrees_with_hand_calculation():
    embedding = PeriodicEmbedding(2, frequencies=1, width=1)
    with torch.no_grad():
        embedding.frequency.copy_(torch.tensor([[0.25], [1.0]]))
        embedding.weight.copy_(torch.tensor([[[1.0], [0.0]], [[2.0], [3.0]]]))
        embedding.bias.copy_(torch.tensor([[0.5], [-1.0]]))
        found = embedding(torch.tensor([[1.0, 0.0], [-1.0, 0.25]]))
    # Sines and cosines at phases of pi/2 and 0, then -pi/2 and pi/2.
    torch.testing.assert_close(found, torch.tensor([[1.5, 2.0], [0.0, 1.0]]))


def test_the_head_depends_on_all_features():
    head = Head(N_COLOUR_STATISTICS, 6, bottleneck=3).eval()
    features = torch.randn(5, N_COLOUR_STATISTICS + 6, requires_grad=True)
    assert head(features).shape == (5,)
    head(features).sum().backward()
    assert (features.grad.abs().sum(dim=0) > 0).all()
