"""Batches that are made when they are needed: by this process, or ahead of time by workers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader

Batch = tuple[Any, torch.Tensor, list[str]]  # inputs, targets [b], ids
Step = Sequence[Batch]  # micro-batches whose gradients are accumulated
Item = TypeVar("Item")


@dataclass(frozen=True)
class LazySequence(Generic[Item]):
    """A sequence of ``count`` items; ``make`` gives each from its index alone, when needed."""

    make: Callable[[int], Item]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Item]:
        return map(self.make, range(self.count))

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.make(index)


@dataclass(frozen=True)
class RankShard:
    """Which samples of a step one process reads, and in how many micro-batches.

    Attributes:
        accumulation_steps: micro-batches per step, on top of those that a model asks for.
        rank: the process, from 0.
        size: the number of processes.
    """

    accumulation_steps: int = 1
    rank: int = 0
    size: int = 1

    def rows(self, rows: Sequence[int]) -> list[int]:
        """The process's own samples of a step: every ``size``-th, and perhaps none."""
        return list(rows[self.rank :: self.size])


EpochSteps = Callable[[int, RankShard], LazySequence[Step]]  # epoch, shard -> the epoch's steps


def shuffled(count: int, batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Indices of one epoch's batches, in an order that depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).tolist()
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def load(
    items: LazySequence[Item], indices: Sequence[int], *, device: torch.device, workers: int = 0
) -> Iterable[Item]:
    """The items at these indices, in order, made by ``workers`` processes (0: by this one).

    For a GPU they are in pinned memory.
    """
    return DataLoader(
        items,  # type: ignore[arg-type]
        sampler=indices,
        batch_size=None,
        collate_fn=_identity,
        num_workers=workers,
        worker_init_fn=_check_transport,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise it draws from the model's random numbers
    )


def _check_transport(_worker: int) -> None:
    """Pack a tensor as a batch is packed to be sent, which needs room for temporary files.

    Without room this raises, and the main process sees the error. For a batch it would not: the
    worker's queue drops what it cannot pack, and the main process waits forever.
    """
    ForkingPickler.dumps(torch.zeros(1))


def _identity(item: Item) -> Item:
    return item
