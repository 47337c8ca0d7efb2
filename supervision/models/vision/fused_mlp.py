"""Linear layers and what follows them in one pass over memory, where oneDNN has one for it."""

from functools import cache
from typing import Any

import torch
from timm.layers import Mlp
from torch import nn
from torch.nn import functional


def linear(layer: nn.Module, x: torch.Tensor, *, gelu: bool = False) -> torch.Tensor:
    """``layer(x)``, with GELU after it if asked.

    torch adds the bias before the product and takes GELU after it, each in a pass of its own; in
    bfloat16 on a CPU the passes take as long as the product. What ``torch.compile`` would call in
    their place is called here by hand; it has no gradient.
    """
    if isinstance(layer, nn.Linear) and _in_one_pass(x, layer.weight):
        after = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, after, [], "none")
    product = layer(x)
    return functional.gelu(product) if gelu else product


class FusedMlp(nn.Module):
    """timm's MLP of two layers with GELU between them, which keep their names."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = mlp.fc1, mlp.fc2

    @staticmethod
    def fits(mlp: nn.Module) -> bool:
        """Whether there is no more to it than that."""
        if type(mlp) is not Mlp or not isinstance(mlp.act, nn.GELU):
            return False
        plain = isinstance(mlp.norm, nn.Identity) and mlp.drop1.p == mlp.drop2.p == 0
        return plain and mlp.act.approximate == "none"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens ``[..., width]`` -> the same."""
        return linear(self.fc2, linear(self.fc1, x, gelu=True))


def _in_one_pass(x: torch.Tensor, weight: torch.Tensor) -> bool:
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    short = x.dtype == weight.dtype == torch.bfloat16
    return short and not learns and x.device.type == "cpu" and _is_there()


@cache
def _is_there() -> bool:
    ops = torch.ops.mkldnn
    if not (hasattr(ops, "_linear_pointwise") and hasattr(ops, "_is_mkldnn_bf16_supported")):
        return False  # torch was built without oneDNN
    return bool(ops._is_mkldnn_bf16_supported())
