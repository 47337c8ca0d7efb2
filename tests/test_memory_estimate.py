"""The estimated memory of a training step, compared with values computed by hand."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from supervision.runtime.memory import Memory
from supervision.training.batches import LazySequence, RankShard
from supervision.training.memory_estimate import (
    COPIES_OF_TRAINED,
    TRANSIENT_FACTOR,
    MemoryEstimate,
    estimate_memory,
)

CPU = torch.device("cpu")
GIB = 2**30


def epochs(samples, width=3):
    """An epoch of one step with this many samples."""

    def epoch(_number, shard):
        rows = torch.arange(samples).tensor_split(min(shard.accumulation_steps, samples))
        return LazySequence(lambda _: [(torch.ones(len(r), width), r, []) for r in rows], 1)

    return epoch


def net():
    """Stores, per sample, the input and the output of the sine (1,000 numbers each)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 1000), Sine(), nn.Dropout(0.5), nn.Linear(1000, 1))


class Sine(nn.Module):
    def forward(self, x):
        return x.sin()


def test_estimate_has_the_value_computed_by_hand(monkeypatch):
    monkeypatch.setattr(
        "supervision.training.memory_estimate.autocast", lambda device: nullcontext()
    )
    model = nn.Sequential(nn.Linear(3, 1000), Sine(), nn.Linear(1000, 1))
    estimate = estimate_memory(model, epochs(64), RankShard(), CPU)
    bytes_per_sample = 4 * (3 + 1000 + 1000)  # the inputs of the three layers
    assert estimate.step == pytest.approx(TRANSIENT_FACTOR * 64 * bytes_per_sample)
    assert estimate.copies == COPIES_OF_TRAINED * 4 * (3 * 1000 + 1000 + 1000 + 1)
    assert estimate.samples == 64


def test_a_micro_batch_needs_its_share_of_the_memory_of_a_step():
    whole = estimate_memory(net(), epochs(64), RankShard(), CPU)
    share = estimate_memory(net(), epochs(64), RankShard(accumulation_steps=4), CPU)
    assert share.step == pytest.approx(whole.step / 4, rel=0.05)


def test_estimating_changes_neither_the_model_nor_the_random_state():
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    estimate_memory(model.eval(), epochs(256), RankShard(), CPU)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not model.training


@pytest.mark.parametrize(
    ("free", "parts"),
    [
        (100, 1),
        (14, 1),
        (13, 1),
        (10, 1),
        (9, 1),
        (8, 2),
        (5, 2),
        (3, 8),
        (2, 16),
        (1.5, 32),
        (1, 32),
        (0, 32),
    ],
)
def test_steps_are_cut_until_they_fit_into_free_memory(free, parts):
    """With 1 GiB of copies and 6 GiB per step; 80% of the free memory may be used."""
    estimate = MemoryEstimate(copies=1.0 * GIB, step=6.0 * GIB, samples=32)
    found = Memory(16 * GIB, int(free * GIB))
    assert estimate.accumulation_steps(found) == parts
    assert estimate.is_tight(found) == (free < 13.25)  # 1 GiB and 1.6 times 6 GiB
    room = 0.8 * free - 1
    assert parts == 32 or 6 / parts <= room
    message = estimate.message(found)
    assert "about 7.0 GiB for steps of 32" in message
    assert f"{free:.1f} GiB of 16.0 GiB free" in message
    assert ("cut into" in message) == (parts > 1)


def test_a_process_without_samples_does_not_cut_steps():
    estimate = estimate_memory(
        net(), lambda *_: LazySequence(lambda _: [], 1), RankShard(rank=3, size=4), CPU
    )
    assert estimate.accumulation_steps(Memory(16 * GIB, GIB)) == 1
    assert "for steps of 0" in estimate.message(Memory(16 * GIB, GIB))
