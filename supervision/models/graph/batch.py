"""Folded graphs side by side as tensors: what a graph model reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from supervision.models.graph.symmetry_folding import FoldedGraph


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Several folded graphs side by side: FoldedGraph's arrays as tensors, indices shifted.

    Attributes:
        crystal: [n] which crystal of the batch an atom is of.
        size: number of crystals.
    """

    features: torch.Tensor
    properties: torch.Tensor
    atoms: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    distance: torch.Tensor
    edges: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    cosine: torch.Tensor
    angles: torch.Tensor
    crystal: torch.Tensor
    size: int

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, name).nbytes for name in self._arrays)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "GraphBatch":
        """The same batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "GraphBatch":
        """The same batch where a GPU can fetch it by itself."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "GraphBatch":
        changed = {name: change(getattr(self, name)) for name in self._arrays}
        return GraphBatch(**changed, size=self.size)

    @property
    def _arrays(self) -> list[str]:
        return [field.name for field in fields(self) if field.name != "size"]


def collate(graphs: Sequence[FoldedGraph]) -> GraphBatch:
    """One batch of several graphs, in their order."""
    shifts = {
        "source": _starts([len(g.atoms) for g in graphs]),
        "first": _starts([len(g.edges) for g in graphs]),
    }
    shifts |= {"target": shifts["source"], "second": shifts["first"]}
    joined = {}
    for field in fields(FoldedGraph):
        arrays = [getattr(g, field.name) for g in graphs]
        if field.name in shifts:
            arrays = [
                a.astype(np.int64) + s for a, s in zip(arrays, shifts[field.name], strict=True)
            ]
        joined[field.name] = torch.from_numpy(np.concatenate(arrays))
    crystal = np.repeat(np.arange(len(graphs)), [len(g.atoms) for g in graphs])
    return GraphBatch(**joined, crystal=torch.from_numpy(crystal), size=len(graphs))


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *lengths[:-1]])


def pack(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut 0, 1, ... into runs whose sizes sum to no more than ``budget``.

    What is larger than the budget by itself is a run of its own.
    """
    run: list[int] = []
    held = 0
    for index, size in enumerate(sizes):
        if run and held + size > budget:
            yield run
            run, held = [], 0
        run.append(index)
        held += size
    if run:
        yield run
