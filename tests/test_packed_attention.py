"""Packed images and bfloat16 weights: the same numbers as timm and float32."""

import pytest
import timm
import torch
from timm.layers import LayerNorm
from timm.layers.attention import Attention
from torch.nn import functional

from supervision.models.vision.model import VisionRegressor, adapt_backbone
from supervision.models.vision.packed_attention import PackedAttention, packed_intermediates
from supervision.models.weights import ImageWeights
from supervision.runtime.device import autocast, in_bfloat16

CPU = torch.device("cpu")
ARCHITECTURES = ("vit_small_patch14_dinov2", "vit_small_patch16_dinov3")


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    torch.manual_seed(0)
    model = VisionRegressor(ImageWeights("tiny", request.param, "none", ())).eval()
    with torch.no_grad():  # otherwise later blocks hardly contribute
        for name, parameter in model.backbone.named_parameters():
            if "gamma" in name:
                parameter.fill_(0.5)
    return model


@pytest.fixture
def images():
    """Three images with visible parts of different size."""
    images = torch.zeros(3, 3, 224, 224, dtype=torch.uint8)
    for image, size in zip(images, (40, 200, 110), strict=True):
        image[:, :size, 10 : 10 + size] = torch.randint(0, 256, (3, size, size))
    return images


@pytest.fixture
def bf16_is_fast(monkeypatch):
    monkeypatch.setattr("supervision.runtime.device.fast_bf16", lambda device: True)


@torch.no_grad()
def test_with_all_patches_the_tokens_are_those_of_timm(model, images):
    architecture = ARCHITECTURES[type(model.backbone).__name__ == "Eva"]
    plain = timm.create_model(architecture, img_size=224, num_classes=0).eval()
    plain.load_state_dict(model.backbone.state_dict(), strict=True)
    normalised = (images - model.pixel_mean) / model.pixel_std
    wanted = plain.forward_intermediates(
        normalised, indices=[2, 7], output_fmt="NLC", intermediates_only=True
    )
    all_patches = torch.ones(wanted[0].shape[:2], dtype=torch.bool)
    found = packed_intermediates(model.backbone, normalised, all_patches, [2, 7])
    for tokens, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(tokens, other.flatten(0, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True], ids=["fused", "plain"])
def test_images_in_a_batch_do_not_affect_each_other(model, images, training):
    model.train(training)
    with torch.set_grad_enabled(training):  # attention is fused without gradients
        together = model.features(images)
        alone = torch.cat([model.features(image[None]) for image in images.flip(0)]).flip(0)
        other = images.clone()
        other[1] = 255 - other[1]
        changed = model.features(other)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(changed[[0, 2]], alone[[0, 2]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 15, 16, 17, 40])
def test_attention_by_matrix_products_agrees_with_torch(tokens):
    torch.manual_seed(0)
    attention = PackedAttention(Attention(24, 3))
    attention.fused_attn = False
    ours = [torch.randn(3, tokens, 8, requires_grad=True) for _ in "qkv"]
    theirs = [t.detach().clone().requires_grad_() for t in ours]
    weight = torch.randn(3, tokens, 8)
    found = attention.attend(*ours)
    wanted = functional.scaled_dot_product_attention(*theirs)
    torch.testing.assert_close(found, wanted)
    (found * weight).sum().backward()
    (wanted * weight).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@torch.no_grad()
def test_a_black_image_has_finite_features(model, images):
    images[1] = 0
    features = model.features(images)
    assert features.isfinite().all()
    torch.testing.assert_close(features[:1], model.features(images[:1]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bfloat16_changes_features_by_rounding_alone(model, images, bf16_is_fast):
    full = model.features(images)
    with in_bfloat16(model.backbone, CPU), autocast(CPU):
        short = model.features(images)
    assert short.dtype == torch.float32
    assert not torch.equal(short, full)
    assert (short - full).norm() < 2**-7 * full.norm()


def test_in_bfloat16_restores_the_weights(model, bf16_is_fast):
    before = {name: p.clone() for name, p in model.named_parameters()}
    with in_bfloat16(model.backbone, CPU), in_bfloat16(model.backbone, CPU):
        dtypes = {name: p.dtype for name, p in model.named_parameters()}
    for name, dtype in dtypes.items():
        assert dtype == (torch.bfloat16 if name.startswith("backbone.") else torch.float32), name
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_adapter_gradients_in_bfloat16_agree_with_float32(model, images, bf16_is_fast):
    def gradients():
        model.zero_grad()
        model.features(images).square().sum().backward()
        return torch.cat([p.grad.flatten() for n, p in model.named_parameters() if "lora_" in n])

    with in_bfloat16(model.backbone, CPU):
        adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            assert parameter.dtype == torch.float32
            torch.nn.init.normal_(parameter, std=0.02)
    full = gradients()
    with in_bfloat16(model.backbone, CPU), autocast(CPU):
        short = gradients()
    assert torch.cosine_similarity(full, short, dim=0) > 0.999


def test_an_attention_with_other_parameters_is_refused():
    with pytest.raises(ValueError, match="k_norm, q_norm"):
        PackedAttention(Attention(8, 2, qk_norm=True, norm_layer=LayerNorm))
