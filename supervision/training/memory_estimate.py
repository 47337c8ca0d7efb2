"""What a training will need of memory, worked out on small pieces of a step before it begins."""

import math
import os
from dataclasses import dataclass

import torch
from torch import nn

from supervision.runtime.device import autocast
from supervision.runtime.memory import Memory, gigabytes, memory
from supervision.runtime.rng import restore_rng_states, rng_states
from supervision.training.batches import Batch, Epochs, RankShard
from supervision.training.state import load_trainable, trainable_state

COPIES = 6  # of what trains: gradient, AdamW's two moments, average, best, what is written down
PASSING = 1.1  # times what a step keeps for its gradients: with what comes and goes meanwhile
HOLES = 1.6  # times that: with the holes that the C library leaves between what it gives out
FILLED = 0.8  # of what is free may be used
SMALL = (64, 32)  # into how many parts a step is cut to be tried


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes besides the model and its data.

    Attributes:
        kept: for all that a training keeps of what it trains.
        step: for the gradients of a whole step at once.
        samples: how many samples that is.
    """

    kept: float
    step: float
    samples: int

    def parts(self, found: Memory) -> int:
        """Into how many parts, a power of two, a step is to be cut to fit into what is free."""
        if not self.samples:
            return 1
        room = FILLED * found.free - self.kept
        if room <= 0 or self.step > room * self.samples:
            return 2 ** math.ceil(math.log2(self.samples))
        return 2 ** max(0, math.ceil(math.log2(self.step / room))) if self.step else 1

    def tight(self, found: Memory) -> bool:
        """Whether it would not fit but for cutting steps, or with holes between its blocks."""
        return self.kept + HOLES * self.step > FILLED * found.free

    def line(self, found: Memory) -> str:
        """What is needed, what is free, and what follows, in one line."""
        parts = self.parts(found)
        follows = f"; steps are cut into {parts} parts from the start" if parts > 1 else ""
        return (
            f"Memory: about {gigabytes(self.kept + self.step)} for steps of {self.samples}, "
            f"{found}{follows}."
        )


def free_memory_on(device: torch.device) -> Memory:
    """A GPU's or, where tensors lie in the machine's memory, one's part of that.

    Processes that torchrun has started beside this one have theirs.
    """
    if device.type != "cuda":
        found = memory()
        return Memory(found.total, found.free // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    free, total = torch.cuda.mem_get_info(device)
    return Memory(total, free)


def estimate_memory(
    model: nn.Module, epochs: Epochs, share: RankShard, device: torch.device
) -> MemoryEstimate:
    """What training this model by these steps will need; leaves model and random numbers alone.

    What a step keeps grows in proportion to its inputs: two small pieces say how fast.
    """
    kept = COPIES * sum(p.nbytes for p in model.parameters() if p.requires_grad)
    whole = epochs(1, share)[0]
    if not whole:  # there are more processes than samples in a step
        return MemoryEstimate(float(kept), 0.0, 0)
    largest = max(inputs.nbytes for inputs, _, _ in whole)
    before, state, training = rng_states(), trainable_state(model), model.training
    pieces = [_largest(epochs, share, parts) for parts in SMALL]
    (less, low), (more, high) = [(x[0].nbytes, _saved(model, x, device)) for x in pieces]
    load_trainable(model, state)
    model.train(training)
    restore_rng_states(before)
    rate = (high - low) / (more - less) if more > less else high / more
    step = PASSING * (low + rate * (largest - less))
    return MemoryEstimate(float(kept), max(step, 0.0), sum(len(targets) for _, targets, _ in whole))


def _largest(epochs: Epochs, share: RankShard, parts: int) -> Batch:
    """The largest batch of the first step, cut into so many parts."""
    step = epochs(1, RankShard(parts, share.rank, share.size))[0]
    return max(step, key=lambda batch: batch[0].nbytes)


def _saved(model: nn.Module, batch: Batch, device: torch.device) -> float:
    """Bytes that a forward pass keeps for the backward one, each storage counted once."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(device):
        output = model(batch[0].to(device))
    del output
    return float(sum(found.values()))
