"""How much memory a training needs, estimated from small pieces of a step before it begins."""

import math
import os
from dataclasses import dataclass

import torch
from torch import nn

from supervision.runtime.device import autocast
from supervision.runtime.memory import Memory, available_memory, format_gib
from supervision.runtime.rng import restore_rng_states, rng_states
from supervision.training.batches import Batch, EpochSteps, RankShard
from supervision.training.state import load_trainable, trainable_state

COPIES_OF_TRAINED = 6  # gradient, AdamW's two moments, average, best, the copy being written
TRANSIENT_FACTOR = 1.1  # a step's peak over what it keeps for its gradients
FRAGMENTATION_FACTOR = 1.6  # times that: with the holes that the C library leaves between blocks
USABLE_FRACTION = 0.8  # of free memory
PIECES = (64, 32)  # accumulation steps of the two pieces that are measured


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, besides the model and its data.

    Attributes:
        copies: for all copies of the trained parameters.
        step: for the gradients of a whole step at once.
        samples: the number of samples in that step.
    """

    copies: float
    step: float
    samples: int

    def accumulation_steps(self, found: Memory) -> int:
        """Into how many micro-batches, a power of two, a step must be cut to fit."""
        if not self.samples:
            return 1
        room = USABLE_FRACTION * found.free - self.copies
        if room <= 0 or self.step > room * self.samples:
            return 2 ** math.ceil(math.log2(self.samples))
        return 2 ** max(0, math.ceil(math.log2(self.step / room))) if self.step else 1

    def is_tight(self, found: Memory) -> bool:
        """Whether it fits only if steps are cut, or not with fragmentation."""
        return self.copies + FRAGMENTATION_FACTOR * self.step > USABLE_FRACTION * found.free

    def message(self, found: Memory) -> str:
        """What is needed, what is free, and the consequence, in one line."""
        count = self.accumulation_steps(found)
        consequence = f"; steps are cut into {count} parts from the start" if count > 1 else ""
        return (
            f"Memory: about {format_gib(self.copies + self.step)} for steps of {self.samples}, "
            f"{found}{consequence}."
        )


def estimate_memory(
    model: nn.Module, steps: EpochSteps, shard: RankShard, device: torch.device
) -> MemoryEstimate:
    """What the training of this model by these steps needs; model and random numbers stay as is.

    What a step keeps is linear in the size of its inputs: two small pieces give slope and offset.
    """
    copies = COPIES_OF_TRAINED * sum(p.nbytes for p in model.parameters() if p.requires_grad)
    whole = steps(1, shard)[0]
    if not whole:  # there are more processes than samples in a step
        return MemoryEstimate(float(copies), 0.0, 0)
    largest = max(inputs.nbytes for inputs, _, _ in whole)
    before, state, training = rng_states(), trainable_state(model), model.training
    pieces = [_largest_batch(steps, shard, count) for count in PIECES]
    (less, low), (more, high) = [(x[0].nbytes, _saved_bytes(model, x, device)) for x in pieces]
    load_trainable(model, state)
    model.train(training)
    restore_rng_states(before)
    slope = (high - low) / (more - less) if more > less else high / more
    step = TRANSIENT_FACTOR * (low + slope * (largest - less))
    samples = sum(len(targets) for _, targets, _ in whole)
    return MemoryEstimate(float(copies), max(step, 0.0), samples)


def free_memory_on(device: torch.device) -> Memory:
    """A GPU's memory or, for the CPU, this process's part of the machine's.

    Processes that torchrun started beside this one have the other parts.
    """
    if device.type != "cuda":
        found = available_memory()
        return Memory(found.total, found.free // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    free, total = torch.cuda.mem_get_info(device)
    return Memory(total, free)


def _largest_batch(steps: EpochSteps, shard: RankShard, accumulation_steps: int) -> Batch:
    """The largest micro-batch of the first step, cut into so many."""
    step = steps(1, RankShard(accumulation_steps, shard.rank, shard.size))[0]
    return max(step, key=lambda batch: batch[0].nbytes)


def _saved_bytes(model: nn.Module, batch: Batch, device: torch.device) -> float:
    """Bytes that a forward pass keeps for the backward pass, each storage counted once."""
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
