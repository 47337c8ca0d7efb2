"""Where a vision model looks in each view: attention weighted by its gradients, as a heat map.

Chefer, Gur and Wolf (ICCV 2021, "Generic attention-model explainability", eq. 5 and 6): the
relevance of an attention map A is the mean over heads of the positive part of A times the gradient
of the output to A, and the relevance of the tokens passes from block to block through it, beside
the residual connection. (Attention rollout, Abnar and Zuidema, ACL 2020, has A alone.) There the
output is read from the class token. Here it is read from all visible patches of several blocks, so
the relevance starts at each of these: at a patch, the positive part of gradient times (token - mean
of the training), which is what the patch adds to the pooled token to first order. It then flows
down to the first block:

    relevance = relevance + readout[block]
    relevance = relevance + relevance @ attention[block]

A heat map says which patches raise the prediction. It does not say what the colour statistics of
the whole image add, which the head reads beside the tokens.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from supervision.data.crystals import Crystal
from supervision.models.vision.colour_statistics import N_COLOUR_STATISTICS
from supervision.models.vision.data import to_tensor
from supervision.models.vision.model import VisionRegressor
from supervision.models.vision.packed_attention import PackedAttention
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.vision.views import VIEWS, select_views


@dataclass(frozen=True, eq=False)
class ViewHeat:
    """The heat maps of the views of a crystal.

    Attributes:
        names: of the views, [views].
        images: uint8 RGB, ``[views, 224, 224, 3]``.
        heat: relevance of each patch, 0 or more, ``[views, grid, grid]``; 0 for black patches.
        tc_kelvin: the Tc by each view, [views].
    """

    names: tuple[str, ...]
    images: np.ndarray
    heat: np.ndarray
    tc_kelvin: np.ndarray


def view_heat(predictor: VisionPredictor, crystal: Crystal) -> ViewHeat:
    """The heat maps of all views that the model reads.

    A copy of the model is asked, in float32, whose attention keeps its maps. Raises CrystalError,
    naming the crystal, for one that cannot be read.
    """
    with predictor.reading(crystal) as model:
        images, copy = predictor.images(crystal), _recording_copy(model)
        distinct = {image.tobytes(): image for image in images}  # by symmetry some are equal
        found = {
            key: _heat(copy, to_tensor([image]).to(predictor.device))
            for key, image in distinct.items()
        }
    heat, outputs = zip(*(found[image.tobytes()] for image in images), strict=True)
    return ViewHeat(
        tuple(VIEWS[view].name for view in select_views(predictor.config.views)),
        np.stack(images),
        np.stack(heat),
        predictor.target.decode(np.array(outputs)),
    )


class RecordedAttention(PackedAttention):
    """Attention that keeps the maps of its last forward pass in ``maps``, one per image."""

    def __init__(self, attention: PackedAttention) -> None:
        super().__init__(attention)
        self.maps: list[torch.Tensor] = []

    def forward(self, *args: Any, **options: Any) -> torch.Tensor:
        """As ``PackedAttention``."""
        self.maps.clear()
        return super().forward(*args, **options)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """As ``PackedAttention``, not fused: the map is a tensor, ``[heads, tokens, tokens]``."""
        attention = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
        self.maps.append(attention)
        return attention @ v


def _recording_copy(model: VisionRegressor) -> VisionRegressor:
    copy = deepcopy(model).float().requires_grad_(True)
    for block in copy.backbone.blocks:
        block.attn = RecordedAttention(block.attn)
    return copy


def _heat(model: VisionRegressor, image: torch.Tensor) -> tuple[np.ndarray, float]:
    """The heat map ``[grid, grid]`` of an image ``[1, 3, 224, 224]``, and the output for it."""
    tokens = model.tokens(image)
    output = model.regress(model.pool_tokens(image, tokens))
    blocks = model.backbone.blocks[: model.feature_blocks[-1] + 1]
    attention = [block.attn.maps[0] for block in blocks]  # the last image is the padding
    gradients = torch.autograd.grad(output.sum(), [*tokens, *attention])
    with torch.no_grad():
        readout = {
            block: ((x - mean) * dx).sum(dim=1).clamp_min(0)
            for block, x, mean, dx in zip(
                model.feature_blocks, tokens, _mean_tokens(model), gradients, strict=False
            )
        }
        relevance = torch.zeros(len(attention[0][0]), device=image.device)
        for block in reversed(range(len(blocks))):
            if block in readout:
                relevance[model.backbone.num_prefix_tokens :] += readout[block]
            weighted = (attention[block] * gradients[len(tokens) + block]).clamp_min(0).mean(dim=0)
            relevance = relevance + relevance @ weighted
    return _on_grid(model, image, relevance), float(output.detach())


def _mean_tokens(model: VisionRegressor) -> torch.Tensor:
    """The means over the training of the pooled tokens, ``[feature blocks, width]``."""
    pooled = model.feature_mean[N_COLOUR_STATISTICS:]  # of each block mean and deviation
    return pooled.view(len(model.feature_blocks), 2, -1)[:, 0]


def _on_grid(model: VisionRegressor, image: torch.Tensor, relevance: torch.Tensor) -> np.ndarray:
    """The relevance of the patches among the tokens, on the grid; 0 for black patches."""
    visible, read = (mask(image)[0] for mask in (model.visible_patches, model.read_patches))
    heat = torch.zeros(len(visible), device=relevance.device)
    heat[read] = relevance[model.backbone.num_prefix_tokens :]
    return (heat * visible).view(model.backbone.patch_embed.grid_size).cpu().numpy()
