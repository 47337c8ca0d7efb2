"""The running mean of the weights."""

import pytest
import torch
from torch import nn

from supervision.training.ema import ExponentialMovingAverage


def line(weight):
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(weight)
    return model


def put(model, weight):
    with torch.no_grad():
        model.weight.fill_(weight)


def test_by_hand():
    model = line(0.0)
    average = ExponentialMovingAverage(model, 0.25)
    put(model, 1.0)
    average.update()  # (1 + 1) / (10 + 1) of the past is less than a quarter
    assert average.mean["weight"].item() == pytest.approx(9 / 11)
    for _ in range(9):
        average.update()
    put(model, 3.0)
    average.update()  # from here on a quarter
    with average.in_place():
        expected = 0.25 * 1 + 0.75 * 3
        assert model.weight.item() == pytest.approx(expected, rel=1e-4)
    assert model.weight.item() == 3


def test_no_average_is_the_last_step():
    model = line(0.0)
    average = ExponentialMovingAverage(model, 0.0)
    put(model, 5.0)
    average.update()
    assert average.mean["weight"].item() == 5


def test_the_model_comes_back_bit_equal_even_from_an_error():
    model = line(1 / 3)
    average = ExponentialMovingAverage(model, 0.9)
    put(model, 1 / 7)
    before = model.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), average.in_place():
        raise ZeroDivisionError
    assert torch.equal(model.weight, before)
    with average.in_place():
        assert not torch.equal(model.weight, before)


def test_frozen_parameters_are_left_alone():
    model = nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))
    assert set(ExponentialMovingAverage(model, 0.9).mean) == {"1.weight", "1.bias"}


def test_state_goes_on_exactly():
    model, other = line(0.0), line(0.0)
    one = ExponentialMovingAverage(model, 0.9)
    put(model, 1.0)
    one.update()
    two = ExponentialMovingAverage(other, 0.9)
    two.load(one.state())
    put(other, 1.0)
    for average in (one, two):
        average.update()
    assert torch.equal(one.mean["weight"], two.mean["weight"])
    assert one.updates == two.updates == 2
    with pytest.raises(KeyError):
        ExponentialMovingAverage(nn.Linear(1, 1), 0.9).load(one.state())
