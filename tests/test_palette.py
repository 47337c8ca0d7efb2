"""The palette of a picture and the head that reads it."""

import numpy as np
import pytest
import torch

from supervision.models.head import Head, PeriodicEmbedding
from supervision.models.vision.colour_statistics import PALETTE, QUANTILES, palette


@pytest.fixture
def pictures():
    """Three noisy ones with black parts, one of them grey, and one that shows nothing."""
    rng = torch.Generator().manual_seed(0)
    found = torch.randint(0, 256, (4, 3, 56, 56), generator=rng, dtype=torch.uint8)
    found = found * (torch.rand(4, 1, 56, 56, generator=rng) > 0.6)
    found[1, :] = found[1, :1]
    found[3] = 0
    return found


def by_numpy(picture):
    """The same numbers by numpy's own functions."""
    pixels = picture.flatten(1).numpy().T.astype(float) / 255
    shown = pixels[pixels.max(axis=1) > 0]
    away = shown - shown.mean(axis=0)
    pairs = [(away[:, i] * away[:, j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    quantiles = np.quantile(shown, QUANTILES, axis=0, method="inverted_cdf").T.ravel()
    share = len(shown) / len(pixels)
    moments = [shown.mean(axis=0), shown.std(axis=0), (away**3).mean(axis=0)]
    return np.concatenate([[share], *moments, pairs, quantiles])


def test_palette_is_what_numpy_says(pictures):
    found = palette(pictures)
    assert found.shape == (4, PALETTE)
    assert found.dtype == torch.float32
    for picture, row in zip(pictures[:3], found, strict=False):
        np.testing.assert_allclose(row, by_numpy(picture), atol=2e-6)


def test_a_black_picture_has_a_palette_of_zeros(pictures):
    assert not palette(pictures)[3].any()


def test_palette_does_not_depend_on_company_place_or_precision(pictures):
    found = palette(pictures)
    assert torch.equal(palette(pictures[2:3])[0], found[2])
    assert torch.equal(palette(pictures.flip(2, 3).transpose(2, 3)), found)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(palette(pictures), found)


def test_periodic_embedding_by_hand():
    embedding = PeriodicEmbedding(2, frequencies=1, width=1)
    with torch.no_grad():
        embedding.frequency.copy_(torch.tensor([[0.25], [1.0]]))
        embedding.weight.copy_(torch.tensor([[[1.0], [0.0]], [[2.0], [3.0]]]))
        embedding.bias.copy_(torch.tensor([[0.5], [-1.0]]))
        found = embedding(torch.tensor([[1.0, 0.0], [-1.0, 0.25]]))
    # sin and cos of a quarter turn and of none; then of minus a quarter and of a quarter
    torch.testing.assert_close(found, torch.tensor([[1.5, 2.0], [0.0, 1.0]]))


def test_the_head_reads_plain_numbers_and_states():
    head = Head(PALETTE, 6, gate=3).eval()
    features = torch.randn(5, PALETTE + 6, requires_grad=True)
    assert head(features).shape == (5,)
    head(features).sum().backward()
    assert (features.grad.abs().sum(dim=0) > 0).all()
