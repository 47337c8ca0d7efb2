"""A vision transformer on images with different numbers of tokens, packed into one sequence.

Norms and linear layers process each token independently. Only attention must separate the images;
PackedAttention replaces timm's attention for this.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import nn
from torch.nn import functional

from supervision.models.vision.fused_mlp import fused_linear

# Lengths are padded to multiples: oneDNN compiles and caches its kernels for each new length, and a
# thousand cached kernels can take a gigabyte.
SEQUENCE_LENGTH_MULTIPLE = 64
IMAGE_TOKENS_MULTIPLE = 16


class PackedAttention(nn.Module):
    """timm's self-attention within each image of a packed sequence; parameter names are unchanged.

    Raises ValueError for an attention that has other parameters than ``qkv`` and ``proj``.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        names = {name.split(".")[0] for name, _ in attention.named_parameters()}
        if unsupported := names - {"qkv", "proj"}:
            layers = ", ".join(sorted(unsupported))
            raise ValueError(f"Attention with {layers} is not supported; use qkv and proj alone.")
        self.qkv, self.proj = attention.qkv, attention.proj
        self.num_heads, self.fused_attn = attention.num_heads, attention.fused_attn
        self.rotate_half = getattr(attention, "rotate_half", False)

    def forward(
        self,
        x: torch.Tensor,
        rope: torch.Tensor | None = None,
        attn_mask: Sequence[int] = (),
        is_causal: bool = False,
    ) -> torch.Tensor:
        """Tokens ``[1, total, width]`` -> ``[1, total, width]``.

        ``attn_mask``, which timm's blocks pass through unchanged, holds the number of tokens of
        each image.
        """
        x = x.to(self.qkv.weight.dtype)  # once: LoRA's adapters read it too
        qkv = fused_linear(self.qkv, x)[0]
        q, k, v = qkv.unflatten(1, (3, self.num_heads, -1)).permute(1, 2, 0, 3)  # [heads, total, d]
        if rope is not None:
            q, k = (apply_rot_embed_cat(t, rope, half=self.rotate_half).type_as(v) for t in (q, k))
        images = zip(*(t.split(list(attn_mask), dim=1) for t in (q, k, v)), strict=True)
        attended = torch.cat([self.attend(*image).transpose(0, 1) for image in images])
        return fused_linear(self.proj, attended.flatten(1))[None]  # [total, heads, d] flattened

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values of one image, each ``[heads, tokens, d]`` -> the same shape."""
        if self.fused_attn or not q.requires_grad:  # no gradient: a block below the adapted ones
            q, k, v = (t[None] for t in (q, k, v))
            return functional.scaled_dot_product_attention(q, k, v)[0]
        tokens = q.shape[1]
        padding = -tokens % IMAGE_TOKENS_MULTIPLE
        q, k, v = (functional.pad(t, (0, 0, 0, padding)) for t in (q, k, v))
        mask = functional.pad(q.new_zeros(1, 1, tokens), (0, padding), value=-torch.inf)
        scores = torch.baddbmm(mask, q * q.shape[-1] ** -0.5, k.mT)  # [heads, tokens, tokens]
        return (scores.softmax(dim=-1) @ v)[:, :tokens]


def packed_intermediates(
    backbone: Any, images: torch.Tensor, read_mask: torch.Tensor, blocks: Sequence[int]
) -> list[torch.Tensor]:
    """The patch tokens after each of ``blocks``, ``[total, width]``, image after image.

    Args:
        backbone: a timm vision transformer with PackedAttention.
        images: normalised, ``[b, 3, h, w]``.
        read_mask: ``[b, patches]``, true for the ``total`` patches to read. The class token and
            registers are always read.
        blocks: indices of transformer blocks.
    """
    embedded = backbone._pos_embed(backbone.patch_embed(images))
    tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
    prefix = backbone.num_prefix_tokens
    token_mask = functional.pad(read_mask, (prefix, 0), value=True)  # [b, tokens]
    is_patch = functional.pad(read_mask, (prefix, 0))[token_mask]
    patch_positions = is_patch.nonzero()[:, 0]  # in the packed sequence
    lengths = token_mask.sum(dim=1).tolist()
    padding = SEQUENCE_LENGTH_MULTIPLE - sum(lengths) % SEQUENCE_LENGTH_MULTIPLE
    block_options: dict[str, Any] = {"attn_mask": [*lengths, padding]}
    if rope is not None:  # sines, then cosines; class token and registers are not rotated
        identity = torch.zeros_like(rope[:prefix])
        identity[:, rope.shape[1] // 2 :] = 1
        packed = torch.cat([identity, rope]).expand(len(read_mask), -1, -1)[token_mask]
        block_options["rope"] = functional.pad(packed, (0, 0, 0, padding))
    x = functional.pad(backbone.norm_pre(tokens[token_mask]), (0, 0, 0, padding))[None]
    intermediates = []
    for index, block in enumerate(backbone.blocks[: max(blocks) + 1]):
        x = block(x, **block_options)
        if index in blocks:
            intermediates.append(x[0].index_select(0, patch_positions))
    return intermediates
