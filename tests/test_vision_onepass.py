"""Linear layers in one pass: the numbers of two, and gradients where there are to be any."""

import pytest
import torch
from timm.layers import GluMlp, Mlp
from torch import nn
from torch.nn import functional

from supervision.models.vision import fused_mlp as onepass
from supervision.models.vision.fused_mlp import FusedMlp, linear


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
    """How often a layer was gone through in one pass; skipped where this torch cannot."""
    if not onepass._is_there():
        pytest.skip("oneDNN has no bfloat16 here")
    asked, found = onepass._in_one_pass, []

    def counted(*given):
        found.append(asked(*given))
        return found[-1]

    monkeypatch.setattr(onepass, "_in_one_pass", counted)
    return found


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_one_pass_is_two_but_for_rounding(layer, x, calls, gelu, bias):
    if not bias:
        layer.bias = None
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    exact = functional.gelu(exact) if gelu else exact
    found = linear(layer, x, gelu=gelu)
    assert calls == [True]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize("learns", ["input", "weight"])
def test_what_learns_has_the_gradients_of_two_passes(layer, x, calls, learns):
    learner = x if learns == "input" else layer.weight
    learner.requires_grad_(True)
    linear(layer, x, gelu=True).float().square().sum().backward()
    found, learner.grad = learner.grad, None
    functional.gelu(layer(x)).float().square().sum().backward()
    assert calls == [False]
    assert torch.equal(found, learner.grad)
    with torch.no_grad():
        linear(layer, x)
    assert calls == [False, True]


def test_float32_is_left_to_torch(layer, x, calls):
    layer.float()
    assert torch.equal(linear(layer, x.float()), layer(x.float()))
    assert calls == [False]


def test_an_mlp_keeps_its_state_and_its_numbers(x):
    mlp = Mlp(96, 200)
    assert FusedMlp.fits(mlp)
    one = FusedMlp(mlp)
    assert set(one.state_dict()) == set(mlp.state_dict())
    assert torch.equal(one(x.float()), mlp(x.float()))


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
def test_an_mlp_with_more_to_it_is_left_alone(mlp):
    assert not FusedMlp.fits(mlp)
