"""Batches made when they are asked for, here and by other processes, and dealt out to several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from supervision.training.batches import LazySequence, RankShard, load, shuffled

CPU = torch.device("cpu")
NO_ROOM = """
import errno, os, torch
from multiprocessing import util
from supervision.training.batches import LazySequence, load

def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

util.get_temp_dir = full  # where a socket is made by who sends a tensor
list(load(LazySequence(torch.ones, 3), range(3), device=torch.device("cpu"), workers=1))
"""


def square(place):
    return (torch.full((2,), place**2), os.getpid())


def test_an_item_is_made_when_it_is_asked_for_and_not_before():
    asked = []
    items = LazySequence(lambda place: asked.append(place) or 10 * place, 3)
    assert asked == []
    assert items[2] == 20
    assert asked == [2]
    assert list(items) == [0, 10, 20]
    with pytest.raises(IndexError):
        items[3]


@pytest.mark.parametrize("workers", [0, 2])
def test_items_come_in_order_whoever_makes_them(workers):
    found = list(load(LazySequence(square, 20), range(3, 20), device=CPU, workers=workers))
    assert [int(tensor[0]) for tensor, _ in found] == [place**2 for place in range(3, 20)]
    makers = {maker for _, maker in found}
    assert (os.getpid() in makers) == (workers == 0)
    assert len(makers) == max(workers, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_does_not_draw_from_the_common_random_numbers(workers):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    list(load(LazySequence(square, 3), range(3), device=CPU, workers=workers))
    assert torch.equal(torch.rand(1), expected)


def test_a_maker_that_cannot_send_is_an_error_and_not_waited_for():
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(("count", "size"), [(8, 1), (8, 2), (7, 3), (1, 2), (2, 5)])
def test_a_team_reads_every_sample_of_a_step_once(count, size):
    rows = shuffled(count, count, seed=0, epoch=0)[0]
    dealt = [RankShard(rank=rank, size=size).of(rows) for rank in range(size)]
    assert sorted(row for own in dealt for row in own) == sorted(rows)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
