"""Batches, made when they are asked for: here, or ahead of time by other processes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader

Batch = tuple[Any, torch.Tensor, list[str]]  # inputs, targets, ids
Step = Sequence[Batch]  # their gradients are added up
Item = TypeVar("Item")


@dataclass(frozen=True)
class LazySequence(Generic[Item]):
    """A sequence of ``count`` items, each a matter of its place alone and made when asked for."""

    make: Callable[[int], Item]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Item]:
        return map(self.make, range(self.count))

    def __getitem__(self, place: int) -> Item:
        if not 0 <= place < self.count:
            raise IndexError(place)
        return self.make(place)


@dataclass(frozen=True)
class RankShard:
    """What of a step one process reads, and into how many parts it cuts it.

    ``parts`` counts on top of those that a step has for itself.
    """

    parts: int = 1
    rank: int = 0
    size: int = 1

    def of(self, rows: Sequence[int]) -> list[int]:
        """One's own among a step's samples: every ``size``-th, and perhaps none."""
        return list(rows[self.rank :: self.size])


Epochs = Callable[[int, RankShard], LazySequence[Step]]  # number of an epoch, a share -> its steps


def shuffled(count: int, batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Indices of one epoch's batches in an order that depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).tolist()
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def load(
    items: LazySequence[Item], places: Sequence[int], *, device: torch.device, workers: int = 0
) -> Iterable[Item]:
    """The items at these places in their order, made by ``workers`` processes (0: by this one).

    For a GPU they lie in memory that it can fetch from by itself.
    """
    return DataLoader(
        items,  # type: ignore[arg-type]
        sampler=places,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=_send_one,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it would draw from the model's random numbers
    )


def _send_one(_worker: int) -> None:
    """Pack a tensor as a batch is packed to be sent, which takes room for temporary files.

    Where that cannot be, it is an error here, and raised in who waits. Of the batches themselves it
    would be told to nobody: the queue drops them, and the wait has no end.
    """
    ForkingPickler.dumps(torch.zeros(1))


def _as_it_is(item: Item) -> Item:
    return item
