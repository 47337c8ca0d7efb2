"""The exponential moving average of the weights."""

import pytest
import torch
from torch import nn

from supervision.training.ema import ExponentialMovingAverage


def linear_model(weight):
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(weight)
    return model


def set_weight(model, weight):
    with torch.no_grad():
        model.weight.fill_(weight)


def test_average_has_the_value_computed_by_hand():
    model = linear_model(0.0)
    average = ExponentialMovingAverage(model, 0.25)
    set_weight(model, 1.0)
    average.update()  # the decay is (1 + 1) / (10 + 1), below 0.25
    assert average.mean["weight"].item() == pytest.approx(9 / 11)
    for _ in range(9):
        average.update()
    set_weight(model, 3.0)
    average.update()  # the decay is 0.25 from now on
    with average.in_place():
        expected = 0.25 * 1 + 0.75 * 3
        assert model.weight.item() == pytest.approx(expected, rel=1e-4)
    assert model.weight.item() == 3


def test_average_with_decay_0_is_the_last_step():
    model = linear_model(0.0)
    average = ExponentialMovingAverage(model, 0.0)
    set_weight(model, 5.0)
    average.update()
    assert average.mean["weight"].item() == 5


def test_the_model_is_restored_exactly_even_after_an_error():
    model = linear_model(1 / 3)
    average = ExponentialMovingAverage(model, 0.9)
    set_weight(model, 1 / 7)
    before = model.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), average.in_place():
        raise ZeroDivisionError
    assert torch.equal(model.weight, before)
    with average.in_place():
        assert not torch.equal(model.weight, before)


def test_frozen_parameters_are_not_averaged():
    model = nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))
    assert set(ExponentialMovingAverage(model, 0.9).mean) == {"1.weight", "1.bias"}


def test_a_loaded_state_gives_the_same_averages():
    model, other = linear_model(0.0), linear_model(0.0)
    one = ExponentialMovingAverage(model, 0.9)
    set_weight(model, 1.0)
    one.update()
    two = ExponentialMovingAverage(other, 0.9)
    two.load(one.state())
    set_weight(other, 1.0)
    for average in (one, two):
        average.update()
    assert torch.equal(one.mean["weight"], two.mean["weight"])
    assert one.updates == two.updates == 2
    with pytest.raises(KeyError):
        ExponentialMovingAverage(nn.Linear(1, 1), 0.9).load(one.state())
