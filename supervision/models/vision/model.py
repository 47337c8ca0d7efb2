"""Images -> one number: a DINO vision transformer with LoRA on its qkv, and a head."""

from typing import Any

import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

from supervision.models.head import Head
from supervision.models.vision.colour_statistics import PALETTE, palette
from supervision.models.vision.config import ADAPTATIONS
from supervision.models.vision.fused_mlp import FusedMlp
from supervision.models.vision.packed_attention import PackedAttention, read_levels
from supervision.models.weights import Fetched, ImageWeights, StateDict, WeightsError

IMAGE_SIZE = 224
LEVELS = 5
GATE = 32  # how many numbers the head makes of all patch tokens


class VisionRegressor(nn.Module):
    """uint8 RGB images ``[b, 3, 224, 224]`` -> model-space targets ``[b]``.

    A picture's features are its palette and the patch tokens of five blocks, from the first to the
    last, pooled into their mean and their deviation over the patches that show something: late
    blocks hold the arrangement, and the black around a crystal says nothing of it. With
    ``background`` the transformer reads the other patches as well, at twice the cost. The features
    are standardised with the training set's mean and deviation (raw, they differ in scale by
    orders of magnitude, and a head on them hardly learns).
    """

    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor
    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(self, row: ImageWeights, *, background: bool = False) -> None:
        super().__init__()
        self.background = background
        self.backbone = create_backbone(row)
        depth = len(self.backbone.blocks)
        self.levels = [round(i * (depth - 1) / (LEVELS - 1)) for i in range(LEVELS)]
        self.patch = self.backbone.patch_embed.patch_size[0]
        tokens = 2 * LEVELS * self.backbone.num_features
        self.register_buffer("pixel_mean", 255 * torch.tensor(row.mean).view(3, 1, 1))
        self.register_buffer("pixel_std", 255 * torch.tensor(row.std).view(3, 1, 1))
        self.register_buffer("feature_mean", torch.zeros(PALETTE + tokens))
        self.register_buffer("feature_std", torch.ones(PALETTE + tokens))
        self.head = Head(PALETTE, tokens, gate=GATE)

    def train(self, mode: bool = True) -> "VisionRegressor":
        """As usual; and on a CPU leave torch's fused attention where gradients are carried back.

        Its backward pass is slower than that of plain matrix products there, its forward pass
        faster (``benchmarks.vision_levers``).
        """
        super().train(mode)
        fused = not (mode and self.pixel_mean.device.type == "cpu")
        for module in self.backbone.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = fused
        return self

    def shown(self, images: torch.Tensor) -> torch.Tensor:
        """Which patches are not black all over, ``[b, patches]``."""
        brightest = images.amax(dim=1, keepdim=True).float()
        return nn.functional.max_pool2d(brightest, self.patch).flatten(1) > 0

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Pixels as the backbone was trained to see them, ``[b, 3, 224, 224]``."""
        return (images.float() - self.pixel_mean) / self.pixel_std

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Palette, then mean and deviation of the patch tokens at each level.

        ``[b, PALETTE + 2 * LEVELS * width]``.
        """
        shown = self.shown(images)
        keep = torch.ones_like(shown) if self.background else shown
        levels = read_levels(self.backbone, self.normalise(images), keep, self.levels)
        with torch.autocast(images.device.type, enabled=False):
            return torch.cat([palette(images), *pool(levels, shown, keep)], dim=1)

    def regress(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[b, PALETTE + 2 * LEVELS * width]`` -> ``[b]``."""
        with torch.autocast(features.device.type, enabled=False):  # 0.7 K wide at 90 K in bfloat16
            return self.head((features.float() - self.feature_mean) / self.feature_std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[b, 3, 224, 224]`` -> ``[b]``."""
        return self.regress(self.features(images))

    def standardise(self, features: torch.Tensor) -> None:
        """Take mean and deviation from the training set's features."""
        self.feature_mean.copy_(features.mean(dim=0))
        self.feature_std.copy_(features.std(dim=0, correction=0).clamp_min(1e-6))


class Dropout(nn.Module):
    """Dropout that on a CPU draws four elements' masks, of 16 bits each, at a time.

    torch draws one at a time there, which takes a tenth of a training step.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``nn.Dropout``, ``p`` rounded to a multiple of 2^-16."""
        if x.device.type != "cpu" or not self.training or not self.p:
            return nn.functional.dropout(x, self.p, self.training)
        drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        drawn.random_(torch.iinfo(torch.int64).min, None)  # all 64 bits
        dropped = round(self.p * 2**16)
        keep = drawn.view(torch.int16)[: x.numel()].view_as(x) >= dropped - 2**15
        return x * (keep / (1 - dropped / 2**16)).to(x.dtype)


def pool(levels: list[torch.Tensor], shown: torch.Tensor, keep: torch.Tensor) -> list[torch.Tensor]:
    """Mean and deviation, each ``[b, width]``, of every level's tokens over the patches shown.

    A level is ``[total, width]``, a token for each patch in ``keep``; ``shown`` and ``keep`` are
    ``[b, patches]``.
    """
    picture = keep.nonzero()[:, 0]  # [total] which one a token is of
    share = shown / shown.sum(dim=1, keepdim=True).clamp_min(1)
    own = nn.functional.one_hot(picture, len(keep)).float()  # [total, b]
    weight = own.T * share[keep]  # [b, total]
    pooled = []
    for level in levels:
        tokens = level.float()  # [total, width]
        mean = weight @ tokens
        variance = weight @ (tokens - own @ mean).square()  # a product's gradient is one too
        pooled += [mean, (variance + 1e-6).sqrt()]
    return pooled


def create_backbone(row: ImageWeights) -> Any:
    """The architecture at 224 px without its classifier, weights not yet loaded (timm's class)."""
    backbone: Any = timm.create_model(
        row.architecture, pretrained=False, img_size=IMAGE_SIZE, num_classes=0
    )
    for block in backbone.blocks:
        block.attn = PackedAttention(block.attn)
        if FusedMlp.fits(block.mlp):
            block.mlp = FusedMlp(block.mlp)
    return backbone


def load_pretrained(model: VisionRegressor, fetched: Fetched) -> None:
    """Load a backbone strictly, its position grid resampled from the size it was trained at."""
    state = resample_positions(fetched.state_dict(), model.backbone)
    try:
        model.backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{fetched.source} does not fit {fetched.row.name}: {reason}") from error


def resample_positions(state: StateDict, backbone: Any) -> StateDict:
    """The same state with an absolute position grid, if it has one, of the backbone's size."""
    if "pos_embed" not in state or state["pos_embed"].shape == backbone.pos_embed.shape:
        return state
    grid = resample_abs_pos_embed(
        state["pos_embed"],
        new_size=list(backbone.patch_embed.grid_size),
        num_prefix_tokens=backbone.num_prefix_tokens,
    )
    return state | {"pos_embed": grid}


def adapt_backbone(
    model: VisionRegressor, adapt: str, *, rank: int, alpha: int, dropout: float, last: int = 0
) -> None:
    """Choose what trains beside the head: LoRA on the qkv of blocks, nothing, or all of it.

    LoRA adapts the ``last`` so many blocks (0: all). Raises ValueError where there are not so many.
    """
    if adapt not in ADAPTATIONS:
        raise ValueError(f"adapt '{adapt}' is not one of {', '.join(ADAPTATIONS)}.")
    model.backbone.requires_grad_(adapt == "full")
    if adapt == "lora":
        from peft import LoraConfig, inject_adapter_in_model  # training alone needs peft
        from peft.tuners.tuners_utils import cast_adapter_dtype

        depth = len(model.backbone.blocks)
        if last > depth:
            raise ValueError(f"lora_blocks={last}, but the backbone has {depth} blocks.")
        adapted = range(depth - (last or depth), depth)
        lora = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none", target_modules=["qkv"],
            layers_to_transform=list(adapted), layers_pattern="blocks",
        )  # fmt: skip
        inject_adapter_in_model(lora, model.backbone)
        cast_adapter_dtype(model.backbone, "default")  # float32 beside weights in bfloat16, too
        for block in model.backbone.blocks[adapted.start :]:
            block.attn.qkv.cast_input_dtype_enabled = False  # and they read what the matrix reads
            block.attn.qkv.lora_dropout["default"] = Dropout(dropout)


def merge_lora(model: VisionRegressor) -> None:
    """Fold the adapters into the matrices they adapt: a plain timm backbone remains."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.backbone.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = model.backbone.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
