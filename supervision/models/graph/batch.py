"""Batches of graphs as tensors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from supervision.models.graph.symmetry_folding import FoldedGraph


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Several graphs as one: the arrays of FoldedGraph, concatenated, with shifted indices.

    Attributes:
        crystal: [n] index of the crystal of each atom.
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
        """Bytes of all tensors."""
        return sum(getattr(self, name).nbytes for name in self._tensor_names)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "GraphBatch":
        """The same batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "GraphBatch":
        """The same batch in pinned memory."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "GraphBatch":
        tensors = {name: function(getattr(self, name)) for name in self._tensor_names}
        return GraphBatch(**tensors, size=self.size)

    @property
    def _tensor_names(self) -> list[str]:
        return [field.name for field in fields(self) if field.name != "size"]


def collate(graphs: Sequence[FoldedGraph]) -> GraphBatch:
    """One batch of several graphs, in order."""
    offsets = {
        "source": _offsets([len(g.atoms) for g in graphs]),
        "first": _offsets([len(g.edges) for g in graphs]),
    }
    offsets |= {"target": offsets["source"], "second": offsets["first"]}
    joined = {}
    for field in fields(FoldedGraph):
        arrays = [getattr(g, field.name) for g in graphs]
        if field.name in offsets:
            arrays = [
                a.astype(np.int64) + offset
                for a, offset in zip(arrays, offsets[field.name], strict=True)
            ]
        joined[field.name] = torch.from_numpy(np.concatenate(arrays))
    crystal = np.repeat(np.arange(len(graphs)), [len(g.atoms) for g in graphs])
    return GraphBatch(**joined, crystal=torch.from_numpy(crystal), size=len(graphs))


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *lengths[:-1]])


def split_by_budget(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Split indices 0, 1, ... into consecutive groups whose sizes sum to at most ``budget``.

    An item larger than the budget is a group by itself.
    """
    group: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if group and total + size > budget:
            yield group
            group, total = [], 0
        group.append(index)
        total += size
    if group:
        yield group
