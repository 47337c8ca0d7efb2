"""Linear layers fused with bias and GELU in one oneDNN kernel, for bfloat16 inference on CPUs."""

from functools import cache
from typing import Any

import torch
from timm.layers import Mlp
from torch import nn
from torch.nn import functional


def fused_linear(layer: nn.Module, x: torch.Tensor, *, gelu: bool = False) -> torch.Tensor:
    """``layer(x)``, followed by GELU if ``gelu``.

    torch adds the bias and applies GELU in separate passes over memory, which in bfloat16 on a CPU
    take as long as the matrix product. The fused kernel is the one that ``torch.compile`` uses. It
    has no backward pass, so it is not used where gradients are needed.
    """
    if isinstance(layer, nn.Linear) and _can_fuse(x, layer.weight):
        activation = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(
            x, layer.weight, layer.bias, activation, [], "none"
        )
    product = layer(x)
    return functional.gelu(product) if gelu else product


class FusedMlp(nn.Module):
    """timm's MLP (fused_linear, GELU, linear) with fused kernels; parameter names are unchanged."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = mlp.fc1, mlp.fc2

    @staticmethod
    def is_supported(mlp: nn.Module) -> bool:
        """Whether the MLP has no norm, no dropout, and exact GELU."""
        if type(mlp) is not Mlp or not isinstance(mlp.act, nn.GELU):
            return False
        plain = isinstance(mlp.norm, nn.Identity) and mlp.drop1.p == mlp.drop2.p == 0
        return plain and mlp.act.approximate == "none"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens ``[..., width]`` -> ``[..., width]``."""
        return fused_linear(self.fc2, fused_linear(self.fc1, x, gelu=True))


def _can_fuse(x: torch.Tensor, weight: torch.Tensor) -> bool:
    needs_grad = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    bfloat16 = x.dtype == weight.dtype == torch.bfloat16
    return bfloat16 and not needs_grad and x.device.type == "cpu" and _has_onednn_bf16()


@cache
def _has_onednn_bf16() -> bool:
    ops = torch.ops.mkldnn
    if not (hasattr(ops, "_linear_pointwise") and hasattr(ops, "_is_mkldnn_bf16_supported")):
        return False  # torch was built without oneDNN
    return bool(ops._is_mkldnn_bf16_supported())
