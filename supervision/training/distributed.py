"""Several processes that train one model together, on one machine or many, started by torchrun.

Every process holds the whole model and reads its shard of each step. Gradients are summed over all
processes, so a step equals that of one process on the same samples.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn

from supervision.training.batches import RankShard

T = TypeVar("T")
COLLECTIVE_TIMEOUT = timedelta(days=7)  # rank 0 may work alone for hours; torchrun sees the dead
BACKENDS = "cpu:gloo,cuda:nccl"  # objects travel by the first, gradients on a GPU by the second


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training, and which of them this one is.

    Every method but ``shard`` and ``reseed`` is a collective: all processes call it, in one order.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "ProcessGroup":
        """The group that this process has joined, or one of this process alone."""
        if not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports: rank 0."""
        return self.rank == 0

    def shard(self, accumulation_steps: int = 1) -> RankShard:
        """What this process reads of a step."""
        return RankShard(accumulation_steps, self.rank, self.size)

    def broadcast(self, value: T) -> T:
        """The main process's value, in all processes."""
        box = [value]
        if self.size > 1:
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def all_gather(self, own: Sequence[T]) -> list[T]:
        """Items that were dealt out in turn (0, 1, ..., 0, 1, ...), in their order."""
        if self.size == 1:
            return list(own)
        parts: list[list[T]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, list(own))
        return [
            parts[index % self.size][index // self.size] for index in range(sum(map(len, parts)))
        ]

    def sync_parameters(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite every process's tensors with those of the main process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)

    def all_reduce(
        self, parameters: Iterable[nn.Parameter], numbers: Sequence[float]
    ) -> list[float]:
        """Sum gradients over all processes, in place; returns the sums of ``numbers``.

        Not ``DistributedDataParallel``: a shard may be empty, a step may be cut differently in
        each process, and parameters without a gradient must stay without one.
        """
        if self.size == 1:
            return list(numbers)
        found = list(parameters)
        device = found[0].device
        has_grad = torch.tensor([float(p.grad is not None) for p in found], device=device)
        values = torch.tensor(list(numbers), device=device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in found]
        message = torch.cat([g.flatten().float() for g in grads] + [has_grad, values])
        distributed.all_reduce(message)
        sizes = [*(p.numel() for p in found), len(found), len(values)]
        *sums, has_grad, values = message.split(sizes)
        for parameter, grad, some in zip(found, sums, has_grad.tolist(), strict=True):
            parameter.grad = grad.view_as(parameter).to(parameter.dtype) if some else None
        return values.tolist()

    def reseed(self, epoch: int, step: int) -> None:
        """Seed each further process differently; rank 0 keeps its checkpointed random numbers."""
        if not self.is_main:
            torch.manual_seed(((epoch * 1_000_003) + step) * 1_009 + self.rank)


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started beside this one, until the end of the block."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    if os.environ["RANK"] == "0":
        print(f"Waiting for all {os.environ['WORLD_SIZE']} processes to start.", flush=True)
    backends = BACKENDS if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backends, timeout=COLLECTIVE_TIMEOUT)
    try:
        yield ProcessGroup.current()
    finally:
        distributed.destroy_process_group()
