"""Images -> one number: a DINO vision transformer with LoRA on its qkv matrices, and a head."""

from typing import Any

import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

from supervision.models.head import Head
from supervision.models.vision.colour_statistics import N_COLOUR_STATISTICS, colour_statistics
from supervision.models.vision.config import ADAPTATIONS
from supervision.models.vision.fused_mlp import FusedMlp
from supervision.models.vision.packed_attention import PackedAttention, packed_intermediates
from supervision.models.weights import Fetched, ImageWeights, StateDict, WeightsError

IMAGE_SIZE = 224  # pixels
N_FEATURE_BLOCKS = 5  # transformer blocks whose tokens are features, first to last
BOTTLENECK_WIDTH = 32  # the head's numbers for all patch tokens


class VisionRegressor(nn.Module):
    """uint8 RGB images ``[b, 3, 224, 224]`` -> transformed targets ``[b]``.

    The features of an image are its colour statistics, and the patch tokens of five blocks, from
    the first to the last, pooled to mean and standard deviation over the visible patches (those
    that are not all black). Late blocks encode the arrangement of the atoms. With ``background``
    the transformer also reads the black patches, at twice the cost. Features are standardised with
    mean and standard deviation of the training set, because their scales differ by orders of
    magnitude.
    """

    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor
    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(self, entry: ImageWeights, *, background: bool = False) -> None:
        super().__init__()
        self.background = background
        self.backbone = create_backbone(entry)
        depth = len(self.backbone.blocks)
        self.feature_blocks = [
            round(i * (depth - 1) / (N_FEATURE_BLOCKS - 1)) for i in range(N_FEATURE_BLOCKS)
        ]
        self.patch_size = self.backbone.patch_embed.patch_size[0]
        n_states = 2 * N_FEATURE_BLOCKS * self.backbone.num_features
        self.register_buffer("pixel_mean", 255 * torch.tensor(entry.mean).view(3, 1, 1))
        self.register_buffer("pixel_std", 255 * torch.tensor(entry.std).view(3, 1, 1))
        self.register_buffer("feature_mean", torch.zeros(N_COLOUR_STATISTICS + n_states))
        self.register_buffer("feature_std", torch.ones(N_COLOUR_STATISTICS + n_states))
        self.head = Head(N_COLOUR_STATISTICS, n_states, bottleneck=BOTTLENECK_WIDTH)

    def train(self, mode: bool = True) -> "VisionRegressor":
        """Set the training mode. On a CPU, fused attention is off in training.

        Its backward pass is slower there than that of plain matrix products, although its forward
        pass is faster (``benchmarks.vision_levers``).
        """
        super().train(mode)
        fused = not (mode and self.pixel_mean.device.type == "cpu")
        for module in self.backbone.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = fused
        return self

    def visible_patches(self, images: torch.Tensor) -> torch.Tensor:
        """A mask of the patches that are not all black, ``[b, patches]``."""
        brightest = images.amax(dim=1, keepdim=True).float()
        return nn.functional.max_pool2d(brightest, self.patch_size).flatten(1) > 0

    def read_patches(self, images: torch.Tensor) -> torch.Tensor:
        """A mask of the patches that the backbone reads, ``[b, patches]``."""
        visible = self.visible_patches(images)
        return torch.ones_like(visible) if self.background else visible

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Pixels normalised as in the pretraining of the backbone, ``[b, 3, 224, 224]``."""
        return (images.float() - self.pixel_mean) / self.pixel_std

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Colour statistics, then mean and standard deviation of the tokens of each block.

        ``[b, N_COLOUR_STATISTICS + 2 * N_FEATURE_BLOCKS * width]``.
        """
        return self.pool_tokens(images, self.tokens(images))

    def tokens(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The tokens of all patches that are read, ``[total, width]``, after each feature block."""
        normalised, read_mask = self.normalise(images), self.read_patches(images)
        return packed_intermediates(self.backbone, normalised, read_mask, self.feature_blocks)

    def pool_tokens(self, images: torch.Tensor, tokens: list[torch.Tensor]) -> torch.Tensor:
        """The features of images, from their ``tokens``."""
        visible, read_mask = self.visible_patches(images), self.read_patches(images)
        with torch.autocast(images.device.type, enabled=False):
            return torch.cat([colour_statistics(images), *pool(tokens, visible, read_mask)], dim=1)

    def regress(self, features: torch.Tensor) -> torch.Tensor:
        """Features as returned by ``features`` -> ``[b]``."""
        # In bfloat16 the steps at 90 K would be 0.7 K wide.
        with torch.autocast(features.device.type, enabled=False):
            return self.head((features.float() - self.feature_mean) / self.feature_std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[b, 3, 224, 224]`` -> ``[b]``."""
        return self.regress(self.features(images))

    def standardise(self, features: torch.Tensor) -> None:
        """Set the mean and standard deviation for standardisation from training features."""
        self.feature_mean.copy_(features.mean(dim=0))
        self.feature_std.copy_(features.std(dim=0, correction=0).clamp_min(1e-6))


def pool(
    blocks: list[torch.Tensor], visible: torch.Tensor, read_mask: torch.Tensor
) -> list[torch.Tensor]:
    """Mean and standard deviation, each ``[b, width]``, of tokens over visible patches, by block.

    Args:
        blocks: tokens ``[total, width]`` of each block, one for each patch in ``read_mask``.
        visible: ``[b, patches]``, the patches to average over.
        read_mask: ``[b, patches]``, the patches that the backbone read.
    """
    image = read_mask.nonzero()[:, 0]  # [total] image of each token
    fraction = visible / visible.sum(dim=1, keepdim=True).clamp_min(1)
    membership = nn.functional.one_hot(image, len(read_mask)).float()  # [total, b]
    weight = membership.T * fraction[read_mask]  # [b, total]
    pooled = []
    for block in blocks:
        tokens = block.float()  # [total, width]
        mean = weight @ tokens
        # Matrix products instead of indexing: their gradients are matrix products too.
        variance = weight @ (tokens - membership @ mean).square()
        pooled += [mean, (variance + 1e-6).sqrt()]
    return pooled


class Dropout(nn.Module):
    """Dropout that on a CPU draws random bits for four elements at a time, 16 bits each.

    torch draws for one element at a time there, which takes a tenth of a training step.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``nn.Dropout``, with ``p`` rounded to a multiple of 2^-16."""
        if x.device.type != "cpu" or not self.training or not self.p:
            return nn.functional.dropout(x, self.p, self.training)
        random_bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        random_bits.random_(torch.iinfo(torch.int64).min, None)  # all 64 bits
        dropped = round(self.p * 2**16)
        keep = random_bits.view(torch.int16)[: x.numel()].view_as(x) >= dropped - 2**15
        return x * (keep / (1 - dropped / 2**16)).to(x.dtype)


def create_backbone(entry: ImageWeights) -> Any:
    """timm's model at 224 pixels without its classifier, with random weights."""
    backbone: Any = timm.create_model(
        entry.architecture, pretrained=False, img_size=IMAGE_SIZE, num_classes=0
    )
    for block in backbone.blocks:
        block.attn = PackedAttention(block.attn)
        if FusedMlp.is_supported(block.mlp):
            block.mlp = FusedMlp(block.mlp)
    return backbone


def load_pretrained(model: VisionRegressor, fetched: Fetched) -> None:
    """Load pretrained weights strictly, with the position grid resampled to 224 pixels.

    Raises WeightsError if the weights do not fit the architecture.
    """
    state = resample_positions(fetched.state_dict(), model.backbone)
    try:
        model.backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{fetched.source} does not fit {fetched.entry.name}: {reason}"
        ) from error


def resample_positions(state: StateDict, backbone: Any) -> StateDict:
    """The state dict with its absolute position grid, if any, resampled to the backbone's size."""
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
    """Set what trains beside the head: LoRA on qkv (``lora``), nothing (``linear``), or ``full``.

    LoRA adapts the ``last`` blocks (0: all). Raises ValueError for an unknown ``adapt``, or if the
    backbone has fewer blocks.
    """
    if adapt not in ADAPTATIONS:
        raise ValueError(f"adapt '{adapt}' is not one of {', '.join(ADAPTATIONS)}.")
    model.backbone.requires_grad_(adapt == "full")
    if adapt == "lora":
        from peft import LoraConfig, inject_adapter_in_model  # needed in training alone
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
        cast_adapter_dtype(model.backbone, "default")  # float32, also beside bfloat16 weights
        for block in model.backbone.blocks[adapted.start :]:
            # Adapters take their input in the dtype of the frozen matrix.
            block.attn.qkv.cast_input_dtype_enabled = False
            block.attn.qkv.lora_dropout["default"] = Dropout(dropout)


def merge_lora(model: VisionRegressor) -> None:
    """Merge the LoRA matrices into the matrices that they adapt, and remove the adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.backbone.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = model.backbone.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
