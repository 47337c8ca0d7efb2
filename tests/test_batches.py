"""Lazy batches, loading them with workers, and dividing them between processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from supervision.training.batches import LazySequence, RankShard, load, shuffled

CPU = torch.device("cpu")
DISK_FULL = """
import errno, os, torch
from multiprocessing import util
from supervision.training.batches import LazySequence, load

def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

util.get_temp_dir = full  # in which a worker creates the socket that sends a tensor
list(load(LazySequence(torch.ones, 3), range(3), device=torch.device("cpu"), workers=1))
"""


def square(index):
    return (torch.full((2,), index**2), os.getpid())


def test_an_item_is_computed_only_when_it_is_requested():
    requested = []
    items = LazySequence(lambda index: requested.append(index) or 10 * index, 3)
    assert requested == []
    assert items[2] == 20
    assert requested == [2]
    assert list(items) == [0, 10, 20]
    with pytest.raises(IndexError):
        items[3]


@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_in_order_with_and_without_workers(workers):
    found = list(load(LazySequence(square, 20), range(3, 20), device=CPU, workers=workers))
    assert [int(tensor[0]) for tensor, _ in found] == [index**2 for index in range(3, 20)]
    processes = {process for _, process in found}
    assert (os.getpid() in processes) == (workers == 0)
    assert len(processes) == max(workers, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_does_not_change_the_global_random_state(workers):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    list(load(LazySequence(square, 3), range(3), device=CPU, workers=workers))
    assert torch.equal(torch.rand(1), expected)


def test_a_worker_that_cannot_send_raises_instead_of_blocking():
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(("count", "size"), [(8, 1), (8, 2), (7, 3), (1, 2), (2, 5)])
def test_each_sample_of_a_step_is_in_exactly_one_shard(count, size):
    rows = shuffled(count, count, seed=0, epoch=0)[0]
    shards = [RankShard(rank=rank, size=size).rows(rows) for rank in range(size)]
    assert sorted(row for shard in shards for row in shard) == sorted(rows)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
