"""Folded graphs -> the batches a graph model reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch

from supervision.crystals import Material
from supervision.graph.orbits import FoldedGraph
from supervision.loading import Lazy, Share, Step, shuffled


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


@dataclass(frozen=True)
class GraphSamples:
    """The graphs that a model is trained on and chosen by; see ``supervision.fitting.Samples``.

    A step is ``batch_size`` materials, one structure of each, read in parts of no more than
    ``angle_budget`` angles, so that what a step needs of memory does not hang on the largest cell.
    """

    train: Sequence[Material]
    val: Sequence[Material]
    targets: np.ndarray
    graphs: Mapping[str, FoldedGraph]
    batch_size: int
    angle_budget: int
    seed: int

    def of_training(self) -> tuple[list[str], list[int]]:
        """All structures of the training materials."""
        return _all_structures(self.train)

    def of_validation(self) -> tuple[list[str], list[int]]:
        """All structures of the validation materials."""
        return _all_structures(self.val)

    def batches(self, samples: Sequence[str]) -> Lazy[GraphBatch]:
        """Graphs in order, in batches that keep to the budget."""
        runs = list(pack([len(self.graphs[id].angles) for id in samples], self.angle_budget))
        return Lazy(partial(self._batch, samples, runs), len(runs))

    def _batch(
        self, samples: Sequence[str], runs: Sequence[Sequence[int]], place: int
    ) -> GraphBatch:
        return collate([self.graphs[samples[i]] for i in runs[place]])

    def epoch(self, number: int, share: Share) -> Lazy[Step]:
        """One structure of every training material, drawn by weight."""
        count = len(self.train)
        shares = np.random.default_rng([self.seed, number]).random(count)
        chosen = [m.structure_at(s).id for m, s in zip(self.train, shares, strict=True)]
        order = shuffled(count, self.batch_size, seed=self.seed, epoch=number)
        return Lazy(partial(self._step, chosen, order, share), len(order))

    def _step(
        self, chosen: Sequence[str], order: Sequence[Sequence[int]], share: Share, place: int
    ) -> Step:
        rows = share.of(order[place])
        graphs = [self.graphs[chosen[i]] for i in rows]
        sizes = [len(graph.angles) for graph in graphs]
        budget = min(self.angle_budget, sum(sizes)) // share.parts
        return [
            (
                collate([graphs[k] for k in run]),
                torch.tensor(self.targets[[rows[k] for k in run]], dtype=torch.float32),
                [self.train[rows[k]].id for k in run],
            )
            for run in pack(sizes, budget)
        ]


def _all_structures(materials: Sequence[Material]) -> tuple[list[str], list[int]]:
    pairs = [(c.id, index) for index, m in enumerate(materials) for c in m.crystals]
    return [id for id, _ in pairs], [index for _, index in pairs]
