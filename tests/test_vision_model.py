"""The backbone, its adapters and the head: what trains, what must not, and what is merged."""

import pytest
import timm
import torch

from supervision.models.neural import count_parameters
from supervision.models.vision.colour_statistics import PALETTE
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
    """The same backbone as timm makes it."""
    kind = TINY["dinov2" if model.patch == 14 else "dinov3"].architecture
    plain = timm.create_model(kind, img_size=224, num_classes=0).eval()
    plain.load_state_dict(model.backbone.state_dict(), strict=True)
    return plain


def lora_layers(model):
    return [n for n, _ in model.named_parameters() if "lora_A" in n]


def test_one_image_gives_one_number(model, images):
    model.eval()
    assert model(images[:1]).shape == (1,)
    assert model(images).shape == (2,)


def test_lora_sits_on_every_qkv_and_every_adapter_learns(model, images):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    assert len(lora_layers(model)) == len(model.backbone.blocks) == 12
    step(model, images)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # lora_A has no gradient while lora_B is zero
            assert parameter.grad.abs().sum() > 0, name


def test_lora_on_the_last_blocks_carries_no_gradient_further_back(model, images):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.1, last=5)
    assert [int(name.split(".")[2]) for name in lora_layers(model)] == [7, 8, 9, 10, 11]
    carries = {}
    for number, block in enumerate(model.backbone.blocks):
        block.register_forward_hook(
            lambda _block, _given, made, number=number: carries.update({number: made.requires_grad})
        )
    step(model, images)
    assert carries == {number: number >= 7 for number in range(12)}


def test_more_blocks_than_there_are_cannot_be_adapted(model):
    with pytest.raises(ValueError, match="lora_blocks=13, but the backbone has 12"):
        adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0, last=13)


def test_only_adapters_and_head_move(model, images):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        step(model, images)
        optimizer.step()
    for name, parameter in model.named_parameters():
        moved = not torch.equal(before[name], parameter)
        assert moved == ("lora_" in name or name.startswith("head.")), name


@pytest.mark.parametrize(("adapt", "share"), [("linear", 0.0), ("full", 1.0)])
def test_adapt_decides_what_of_the_backbone_trains(model, adapt, share):
    adapt_backbone(model, adapt, rank=1, alpha=1, dropout=0.0)
    size = count_parameters(model.backbone)
    assert size["trained_parameters"] == share * size["parameters"]
    assert all(p.requires_grad for p in model.head.parameters())


def test_unknown_adaptation_is_named(model):
    with pytest.raises(ValueError, match="'lorra'"):
        adapt_backbone(model, "lorra", rank=1, alpha=1, dropout=0.0)


def test_merged_adapters_give_the_same_numbers_and_a_plain_backbone(model, images):
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
def test_features_are_moments_of_the_tokens_that_show_something(model, background):
    """timm's own forward pass is the oracle, its attention blind to what is left out."""
    picture = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    picture[..., 32:112, 32:112] = torch.randint(1, 256, (80, 80), dtype=torch.uint8)
    side = 224 // model.patch
    brightest = picture[0].amax(0)[: side * model.patch, : side * model.patch]
    shown = brightest.reshape(side, model.patch, side, model.patch).amax((1, 3)).flatten() > 0
    assert 0 < shown.sum() < len(shown)
    model.background = background
    plain, prefix = plain_timm(model), model.backbone.num_prefix_tokens
    seen = torch.cat([torch.ones(prefix, dtype=torch.bool), shown | background])
    with torch.no_grad():
        features = model.eval().features(picture)[0, PALETTE:]
        levels = plain.forward_intermediates(
            (picture - model.pixel_mean) / model.pixel_std,
            indices=model.levels,
            output_fmt="NLC",
            intermediates_only=True,
            attn_mask=seen[None, None, None],
        )
    for tokens, pooled in zip(levels, features.chunk(len(levels)), strict=True):
        mean, deviation = pooled.chunk(2)
        torch.testing.assert_close(mean, tokens[0, shown].mean(0), rtol=1e-4, atol=1e-5)
        spread = tokens[0, shown].std(0, correction=0)
        torch.testing.assert_close(deviation, spread, rtol=1e-3, atol=1e-3)


def test_state_of_a_lora_model_is_small(model):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.0)
    assert not any("qkv.base_layer" in name for name in trainable_state(model))


def test_positions_are_resampled_to_the_image_size():
    big = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0)
    small = timm.create_model("vit_small_patch14_dinov2", img_size=224, num_classes=0)
    state = resample_positions(big.state_dict(), small)
    assert state["pos_embed"].shape == (1, 257, 384)
    torch.testing.assert_close(state["pos_embed"][:, 0], big.pos_embed[:, 0])
    small.load_state_dict(state, strict=True)


def test_loading_is_strict(model, tmp_path):
    from safetensors.torch import save_file

    state = {k: v.contiguous() for k, v in model.backbone.state_dict().items()}
    state.pop("norm.weight")
    save_file(state, tmp_path / "part.safetensors")
    fetched = Fetched(WEIGHTS["dinov2_vits14"], tmp_path / "part.safetensors", "", "", "")
    with pytest.raises(WeightsError, match=r"norm\.weight"):
        load_pretrained(model, fetched)


def test_pretrained_features_tell_pictures_apart_where_random_ones_hardly_do(images):
    """A sign that the weights arrive where they should: DINO separates unlike pictures."""
    fetched = get_weights("dinov2_vits14_imgfocus")
    model = VisionRegressor(fetched.row)
    pictures = torch.zeros(2, 3, 224, 224)
    pictures[1, 0, 60:160, 60:160] = 2.0

    def similarity():
        with torch.no_grad():
            a, b = plain_timm(model).forward_features(pictures)[:, 0]
        return torch.cosine_similarity(a, b, dim=0)

    random = similarity()
    load_pretrained(model, fetched)
    assert similarity() < 0.9 < random


def test_training_leaves_fused_attention_only_on_a_cpu(model):
    def fused():
        return {m.fused_attn for m in model.backbone.modules() if hasattr(m, "fused_attn")}

    assert fused() and (model.train(), fused())[1] == {False}
    assert (model.eval(), fused())[1] == {True}


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_dropout_is_torchs_but_for_how_it_draws(p):
    """Rate and mean to four deviations; neighbours, drawn together, are independent."""
    torch.manual_seed(0)
    number, dropout = 1_000_003, Dropout(p)
    kept = dropout(torch.ones(number))
    gone = (kept == 0).double()
    one = (p * (1 - p) / number) ** 0.5
    assert abs(gone.mean() - p) < 4 * one
    assert abs(kept.mean() - 1) < 4 * one / (1 - p)
    for apart in (1, 2, 3, 4):
        both = (gone[apart:] * gone[:-apart]).mean()
        assert abs(both - p**2) < 4 * p / number**0.5
    assert not torch.equal(dropout(torch.ones(number)), kept)
    torch.manual_seed(0)
    assert torch.equal(dropout(torch.ones(number)), kept)


def test_dropout_drops_nothing_when_it_must_not():
    ones = torch.ones(3, 5, 7)
    assert torch.equal(Dropout(0.9).eval()(ones), ones)
    assert torch.equal(Dropout(0.0)(ones), ones)


def test_adapters_are_dropped_at_their_rate(model):
    adapt_backbone(model, "lora", rank=4, alpha=8, dropout=0.2)
    rates = [block.attn.qkv.lora_dropout["default"].p for block in model.backbone.blocks]
    assert rates == [0.2] * len(model.backbone.blocks)
