"""What a training needs of memory, against what a hand and the system count."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from supervision.runtime.memory import Memory
from supervision.training.batches import LazySequence, RankShard
from supervision.training.memory_estimate import COPIES, PASSING, MemoryEstimate, estimate_memory

CPU = torch.device("cpu")
GIB = 2**30


def epochs(samples, width=3):
    """One step of so many samples."""

    def epoch(_number, share):
        rows = torch.arange(samples).tensor_split(min(share.parts, samples))
        return LazySequence(lambda _: [(torch.ones(len(r), width), r, []) for r in rows], 1)

    return epoch


def net():
    """Keeps, a sample: the sine's input (1,000 numbers) and output; frozen layers, their input."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 1000), Sine(), nn.Dropout(0.5), nn.Linear(1000, 1))


class Sine(nn.Module):
    def forward(self, x):
        return x.sin()


def test_it_is_what_a_hand_counts(monkeypatch):
    monkeypatch.setattr(
        "supervision.training.memory_estimate.autocast", lambda device: nullcontext()
    )
    model = nn.Sequential(nn.Linear(3, 1000), Sine(), nn.Linear(1000, 1))
    need = estimate_memory(model, epochs(64), RankShard(), CPU)
    a_sample = 4 * (3 + 1000 + 1000)  # the input, what the sine is of, what the last layer reads
    assert need.step == pytest.approx(PASSING * 64 * a_sample)
    assert need.kept == COPIES * 4 * (3 * 1000 + 1000 + 1000 + 1)
    assert need.samples == 64


def test_a_part_of_a_step_needs_a_part_of_it():
    whole = estimate_memory(net(), epochs(64), RankShard(), CPU)
    share = estimate_memory(net(), epochs(64), RankShard(parts=4), CPU)
    assert share.step == pytest.approx(whole.step / 4, rel=0.05)


def test_it_leaves_no_trace():
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
def test_steps_are_cut_as_far_as_they_must_be(free, parts):
    """With 1 GiB kept and 6 GiB a step, of which 80% of what is free may be used."""
    need = MemoryEstimate(kept=1.0 * GIB, step=6.0 * GIB, samples=32)
    found = Memory(16 * GIB, int(free * GIB))
    assert need.parts(found) == parts
    assert need.tight(found) == (free < 13.25)  # 1 GiB and 1.6 times 6 GiB
    room = 0.8 * free - 1
    assert parts == 32 or 6 / parts <= room
    said = need.line(found)
    assert "about 7.0 GiB for steps of 32" in said
    assert f"{free:.1f} GiB of 16.0 GiB free" in said
    assert ("cut into" in said) == (parts > 1)


def test_a_process_that_has_nothing_to_read_needs_no_parts():
    need = estimate_memory(
        net(), lambda *_: LazySequence(lambda _: [], 1), RankShard(rank=3, size=4), CPU
    )
    assert need.parts(Memory(16 * GIB, GIB)) == 1
    assert "for steps of 0" in need.line(Memory(16 * GIB, GIB))
