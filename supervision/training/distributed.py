"""Several processes that train one model together, on one machine or many, started by torchrun.

Every process holds the whole model and reads its share of each step; gradients are added up over
all of them, so that a step is that of one process on the same samples.
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

Told = TypeVar("Told")
PATIENCE = timedelta(days=7)  # the first may work alone for hours; torchrun sees who is dead
BACKENDS = "cpu:gloo,cuda:nccl"  # objects travel by the first, gradients on a GPU by the second


@dataclass(frozen=True)
class ProcessGroup:
    """How many processes there are, and which this one is; the first one speaks for all.

    Every method but ``share`` and ``reseed`` must be called by all of them, in the same order.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "ProcessGroup":
        """That of this process: alone, unless it has joined others."""
        if not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def share(self, parts: int = 1) -> RankShard:
        """What this process reads of a step."""
        return RankShard(parts, self.rank, self.size)

    def broadcast(self, what: Told) -> Told:
        """What the first process has to say, for all."""
        box = [what]
        if self.size > 1:
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def all_gather(self, own: Sequence[Told]) -> list[Told]:
        """Items dealt out in turn, back in their order."""
        if self.size == 1:
            return list(own)
        parts: list[list[Told]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, list(own))
        return [
            parts[place % self.size][place // self.size] for place in range(sum(map(len, parts)))
        ]

    def sync_parameters(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every process the first one's."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)

    def all_reduce(
        self, parameters: Iterable[nn.Parameter], numbers: Sequence[float]
    ) -> list[float]:
        """Add up gradients over all processes, in place, and numbers besides.

        By hand, not by ``DistributedDataParallel``: a share may be empty, a step may be cut
        differently in each process, and parameters that nothing reads stay without a gradient.
        """
        if self.size == 1:
            return list(numbers)
        found = list(parameters)
        device = found[0].device
        there = torch.tensor([float(p.grad is not None) for p in found], device=device)
        said = torch.tensor(list(numbers), device=device)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in found]
        message = torch.cat([g.flatten().float() for g in grads] + [there, said])
        distributed.all_reduce(message)
        *sums, there, said = message.split([*(p.numel() for p in found), len(found), len(said)])
        for parameter, grad, some in zip(found, sums, there.tolist(), strict=True):
            parameter.grad = grad.view_as(parameter).to(parameter.dtype) if some else None
        return said.tolist()

    def reseed(self, epoch: int, step: int) -> None:
        """Random numbers of one's own. The first process keeps those that it is checkpointed by."""
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
        print(f"Waiting until all {os.environ['WORLD_SIZE']} processes are there.", flush=True)
    backends = BACKENDS if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backends, timeout=PATIENCE)
    try:
        yield ProcessGroup.current()
    finally:
        distributed.destroy_process_group()
