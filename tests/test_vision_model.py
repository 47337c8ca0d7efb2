"""The vision model: LoRA, features, pretrained weights, dropout."""

import pytest
import timm
import torch

from supervision.models.neural import count_parameters
from supervision.models.vision.colour_statistics import N_COLOUR_STATISTICS
from supervision.models.vision.model import (
    Dropout,
    VisionRegressor,
    adapt_backbone,
    load_pretrained,
    merge_lora,
    resample_positions,
)
from supervision.models.weights import Fetched, ImageWeights, WeightsError, get_weights
from supervision.models.weights.catalogue import WEIGHTS
from supervision.training.state import trainable_state

TINY = {
    "dinov2": ImageWeights("tiny2", "vit_small_patch14_dinov2", "none", ()),
    "dinov3": ImageWeights("tiny3", "vit_small_patch16_dinov3", "none", ()),
}


@pytest.fixture(params=list(TINY))
def model(request):
    torch.manual_seed(0)
    return VisionRegressor(TINY[request.param])


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)


def step(model, images):
    model.train()
    model(images).square().sum().backward()


def plain_timm(model):
    """The backbone as an unmodified timm model with the same weights."""
    architecture = TINY["dinov2" if model.patch_size == 14 else "dinov3"].architecture
    plain = timm.create_model(architecture, img_size=224, num_classes=0).eval()
    plain.load_state_dict(model.backbone.state_dict(), strict=True)
    return plain


def lora_layers(model):
    return [n for n, _ in model.named_parameters() if "lora_A" in n]


def test_each_image_gives_one_number(model, images):
    model.eval()
    assert model(images[:1]).shape == (1,)
    assert model(images).shape == (2,)


def test_lora_adapts_every_qkv_and_every_adapter_has_a_gradient(model, images):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    assert len(lora_layers(model)) == len(model.backbone.blocks) == 12
    step(model, images)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # lora_A has no gradient while lora_B is zero
            assert parameter.grad.abs().sum() > 0, name


def test_lora_on_the_last_blocks_needs_no_gradient_in_earlier_blocks(model, images):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.1, last=5)
    assert [int(name.split(".")[2]) for name in lora_layers(model)] == [7, 8, 9, 10, 11]
    requires_grad = {}
    for number, block in enumerate(model.backbone.blocks):
        block.register_forward_hook(
            lambda _block, _inputs, output, number=number: requires_grad.update(
                {number: output.requires_grad}
            )
        )
    step(model, images)
    assert requires_grad == {number: number >= 7 for number in range(12)}


def test_adapting_more_blocks_than_the_backbone_has_is_refused(model):
    with pytest.raises(ValueError, match="lora_blocks=13, but the backbone has 12"):
        adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0, last=13)


def test_only_adapters_and_head_are_trained(model, images):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        step(model, images)
        optimizer.step()
    for name, parameter in model.named_parameters():
        changed = not torch.equal(before[name], parameter)
        assert changed == ("lora_" in name or name.startswith("head.")), name


@pytest.mark.parametrize(("adapt", "fraction"), [("linear", 0.0), ("full", 1.0)])
def test_adapt_sets_which_backbone_parameters_train(model, adapt, fraction):
    adapt_backbone(model, adapt, rank=1, alpha=1, dropout=0.0)
    size = count_parameters(model.backbone)
    assert size["trained_parameters"] == fraction * size["parameters"]
    assert all(p.requires_grad for p in model.head.parameters())


def test_an_unknown_adaptation_is_refused(model):
    with pytest.raises(ValueError, match="'lorra'"):
        adapt_backbone(model, "lorra", rank=1, alpha=1, dropout=0.0)


def test_merging_adapters_keeps_the_outputs_and_restores_the_parameter_names(model, images):
    plain = set(model.state_dict())
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    model.eval()
    with torch.no_grad():
        adapted = model(images)
        merge_lora(model)
        merged = model(images)
    assert set(model.state_dict()) == plain
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("background", [True, False])
def test_features_are_mean_and_deviation_of_visible_patch_tokens(model, background):
    """The reference is timm's forward pass with an attention mask on the other patches."""
    image = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    image[..., 32:112, 32:112] = torch.randint(1, 256, (80, 80), dtype=torch.uint8)
    side = 224 // model.patch_size
    covered = side * model.patch_size  # pixels
    brightest = image[0].amax(0)[:covered, :covered]
    patches = brightest.reshape(side, model.patch_size, side, model.patch_size)
    visible = patches.amax((1, 3)).flatten() > 0
    assert 0 < visible.sum() < len(visible)
    model.background = background
    plain, prefix = plain_timm(model), model.backbone.num_prefix_tokens
    read = torch.cat([torch.ones(prefix, dtype=torch.bool), visible | background])
    with torch.no_grad():
        features = model.eval().features(image)[0, N_COLOUR_STATISTICS:]
        blocks = plain.forward_intermediates(
            (image - model.pixel_mean) / model.pixel_std,
            indices=model.feature_blocks,
            output_fmt="NLC",
            intermediates_only=True,
            attn_mask=read[None, None, None],
        )
    for tokens, pooled in zip(blocks, features.chunk(len(blocks)), strict=True):
        mean, deviation = pooled.chunk(2)
        torch.testing.assert_close(mean, tokens[0, visible].mean(0), rtol=1e-4, atol=1e-5)
        spread = tokens[0, visible].std(0, correction=0)
        torch.testing.assert_close(deviation, spread, rtol=1e-3, atol=1e-3)


def test_the_trainable_state_of_a_lora_model_has_no_frozen_matrices(model):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    assert not any("qkv.base_layer" in name for name in trainable_state(model))


def test_positions_are_resampled_to_the_image_size():
    big = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0)
    small = timm.create_model("vit_small_patch14_dinov2", img_size=224, num_classes=0)
    state = resample_positions(big.state_dict(), small)
    assert state["pos_embed"].shape == (1, 257, 384)
    torch.testing.assert_close(state["pos_embed"][:, 0], big.pos_embed[:, 0])
    small.load_state_dict(state, strict=True)


def test_incomplete_weights_are_refused(model, tmp_path):
    from safetensors.torch import save_file

    state = {k: v.contiguous() for k, v in model.backbone.state_dict().items()}
    state.pop("norm.weight")
    save_file(state, tmp_path / "part.safetensors")
    fetched = Fetched(WEIGHTS["dinov2_vits14"], tmp_path / "part.safetensors", "", "", "")
    with pytest.raises(WeightsError, match=r"norm\.weight"):
        load_pretrained(model, fetched)


@pytest.mark.slow
def test_pretrained_features_separate_different_images_better_than_random_ones():
    """Shows that every weight is loaded into the right place."""
    fetched = get_weights("dinov2_vits14_imgfocus")
    model = VisionRegressor(fetched.entry)
    images = torch.zeros(2, 3, 224, 224)
    images[1, 0, 60:160, 60:160] = 2.0

    def similarity():
        with torch.no_grad():
            a, b = plain_timm(model).forward_features(images)[:, 0]
        return torch.cosine_similarity(a, b, dim=0)

    random = similarity()
    load_pretrained(model, fetched)
    assert similarity() < 0.9 < random


def test_training_on_a_cpu_disables_fused_attention(model):
    def fused():
        return {m.fused_attn for m in model.backbone.modules() if hasattr(m, "fused_attn")}

    model.train()
    assert fused() == {False}
    model.eval()
    assert fused() == {True}


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_dropout_has_the_statistics_of_torch_dropout(p):
    """Rate and mean within four standard errors; neighbouring elements are independent."""
    torch.manual_seed(0)
    number, dropout = 1_000_003, Dropout(p)
    kept = dropout(torch.ones(number))
    dropped = (kept == 0).double()
    error = (p * (1 - p) / number) ** 0.5
    assert abs(dropped.mean() - p) < 4 * error
    assert abs(kept.mean() - 1) < 4 * error / (1 - p)
    for lag in (1, 2, 3, 4):
        both = (dropped[lag:] * dropped[:-lag]).mean()
        assert abs(both - p**2) < 4 * p / number**0.5
    assert not torch.equal(dropout(torch.ones(number)), kept)
    torch.manual_seed(0)
    assert torch.equal(dropout(torch.ones(number)), kept)


def test_dropout_is_off_in_evaluation_and_at_rate_zero():
    ones = torch.ones(3, 5, 7)
    assert torch.equal(Dropout(0.9).eval()(ones), ones)
    assert torch.equal(Dropout(0.0)(ones), ones)


def test_adapters_have_the_given_dropout_rate(model):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.2)
    rates = [block.attn.qkv.lora_dropout["default"].p for block in model.backbone.blocks]
    assert rates == [0.2] * len(model.backbone.blocks)
