"""Fused linear layers: the same numbers as torch, and gradients where needed."""

import pytest
import torch
from timm.layers import GluMlp, Mlp
from torch import nn
from torch.nn import functional

from supervision.models.vision import fused_mlp
from supervision.models.vision.fused_mlp import FusedMlp, fused_linear


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(96, 160).bfloat16().requires_grad_(False)


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(1, 70, 96).bfloat16()


@pytest.fixture
def calls(monkeypatch):
    """For each call, whether it was fused; skips the test without oneDNN bfloat16."""
    if not fused_mlp._has_onednn_bf16():
        pytest.skip("oneDNN has no bfloat16 support here")
    can_fuse, results = fused_mlp._can_fuse, []

    def recorded(*args):
        results.append(can_fuse(*args))
        return results[-1]

    monkeypatch.setattr(fused_mlp, "_can_fuse", recorded)
    return results


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_fused_layer_agrees_with_float64_up_to_rounding(layer, x, calls, gelu, bias):
    if not bias:
        layer.bias = None
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    exact = functional.gelu(exact) if gelu else exact
    found = fused_linear(layer, x, gelu=gelu)
    assert calls == [True]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize("trained", ["input", "weight"])
def test_a_layer_with_gradients_is_not_fused(layer, x, calls, trained):
    parameter = x if trained == "input" else layer.weight
    parameter.requires_grad_(True)
    fused_linear(layer, x, gelu=True).float().square().sum().backward()
    found, parameter.grad = parameter.grad, None
    functional.gelu(layer(x)).float().square().sum().backward()
    assert calls == [False]
    assert torch.equal(found, parameter.grad)
    with torch.no_grad():
        fused_linear(layer, x)
    assert calls == [False, True]


def test_float32_is_not_fused(layer, x, calls):
    layer.float()
    assert torch.equal(fused_linear(layer, x.float()), layer(x.float()))
    assert calls == [False]


def test_a_fused_mlp_keeps_parameter_names_and_outputs(x):
    mlp = Mlp(96, 200)
    assert FusedMlp.is_supported(mlp)
    fused = FusedMlp(mlp)
    assert set(fused.state_dict()) == set(mlp.state_dict())
    assert torch.equal(fused(x.float()), mlp(x.float()))


@pytest.mark.parametrize(
    "mlp",
    [
        Mlp(8, 16, act_layer=nn.SiLU),
        Mlp(8, 16, act_layer=lambda: nn.GELU("tanh")),
        Mlp(8, 16, norm_layer=nn.LayerNorm),
        Mlp(8, 16, drop=0.1),
        GluMlp(8, 16),
    ],
    ids=["silu", "tanh", "norm", "dropout", "gated"],
)
def test_other_mlps_are_not_supported(mlp):
    assert not FusedMlp.is_supported(mlp)
