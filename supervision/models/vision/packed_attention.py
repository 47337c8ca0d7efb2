"""A vision transformer on pictures of unlike numbers of tokens, one behind the other in a row.

Norms and linear layers treat each token by itself and need not know which picture it is of. Only
attention must, and is replaced here; all else is timm's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import nn
from torch.nn import functional

from supervision.models.vision.fused_mlp import linear

# Lengths of rows and, where products are oneDNN's, of pictures are filled up to a multiple: it
# makes its kernels anew for every length, and keeps a thousand of them, which may take a gigabyte.
ROUND = 64
ROUND_PICTURE = 16


class PackedAttention(nn.Module):
    """timm's self-attention, of each picture by itself; its two layers keep their names.

    Raises ValueError for an attention that has more to it than these two.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        more = {name.split(".")[0] for name, _ in attention.named_parameters()} - {"qkv", "proj"}
        if more:
            raise ValueError(f"This attention has {', '.join(sorted(more))}, which is not read.")
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
        """Tokens ``[1, total, width]`` -> the same, attended to.

        ``attn_mask``, which timm's blocks hand on as it is, says how many tokens each picture has.
        """
        qkv = linear(self.qkv, x.to(self.qkv.weight.dtype))[0]  # once, for all that read it
        q, k, v = qkv.unflatten(1, (3, self.num_heads, -1)).permute(1, 2, 0, 3)  # [heads, total, d]
        if rope is not None:
            q, k = (apply_rot_embed_cat(t, rope, half=self.rotate_half).type_as(v) for t in (q, k))
        pictures = zip(*(t.split(list(attn_mask), dim=1) for t in (q, k, v)), strict=True)
        seen = torch.cat([self.attend(*picture).transpose(0, 1) for picture in pictures])
        return linear(self.proj, seen.flatten(1))[None]  # [total, heads, d] -> [1, total, width]

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values of a picture, ``[heads, tokens, d]`` -> the same."""
        if self.fused_attn or not q.requires_grad:  # a block below those that are adapted
            q, k, v = (t[None] for t in (q, k, v))
            return functional.scaled_dot_product_attention(q, k, v)[0]
        number = q.shape[1]
        filling = -number % ROUND_PICTURE
        q, k, v = (functional.pad(t, (0, 0, 0, filling)) for t in (q, k, v))
        unseen = functional.pad(q.new_zeros(1, 1, number), (0, filling), value=-torch.inf)
        scores = torch.baddbmm(unseen, q * q.shape[-1] ** -0.5, k.mT)  # [heads, tokens, tokens]
        return (scores.softmax(dim=-1) @ v)[:, :number]


def read_levels(
    backbone: Any, images: torch.Tensor, keep: torch.Tensor, levels: Sequence[int]
) -> list[torch.Tensor]:
    """The patches' tokens after each block in ``levels``, ``[total, width]``, pictures in order.

    ``images`` are normalised, ``[b, 3, h, w]``; ``keep`` says which patches are read,
    ``[b, patches]``, ``total`` of them. The class token and registers are read always.
    """
    embedded = backbone._pos_embed(backbone.patch_embed(images))
    tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
    prefix = backbone.num_prefix_tokens
    read = functional.pad(keep, (prefix, 0), value=True)  # [b, tokens]
    patches = functional.pad(keep, (prefix, 0))[read].nonzero()[:, 0]  # their places in the row
    lengths = read.sum(dim=1).tolist()
    filling = ROUND - sum(lengths) % ROUND
    handed: dict[str, Any] = {"attn_mask": [*lengths, filling]}
    if rope is not None:  # sines, then cosines; what has no place in the picture is not rotated
        still = torch.zeros_like(rope[:prefix])
        still[:, rope.shape[1] // 2 :] = 1
        packed = torch.cat([still, rope]).expand(len(keep), -1, -1)[read]
        handed["rope"] = functional.pad(packed, (0, 0, 0, filling))
    x = functional.pad(backbone.norm_pre(tokens[read]), (0, 0, 0, filling))[None]
    found = []
    for number, block in enumerate(backbone.blocks[: max(levels) + 1]):
        x = block(x, **handed)
        if number in levels:
            found.append(x[0].index_select(0, patches))
    return found
