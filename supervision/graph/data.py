"""Folded graphs -> the batches a graph model reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from tqdm.auto import tqdm

from supervision.crystals import Material
from supervision.graph.orbits import FoldedGraph
from supervision.training import Step, iterate


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

    def to(self, device: torch.device) -> "GraphBatch":
        """The same batch on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "size"
        }
        return GraphBatch(**moved, size=self.size)


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

    def read(self, samples: Sequence[str], desc: str) -> Iterator[GraphBatch]:
        """Graphs in order, in batches that keep to the budget."""
        runs = list(pack([len(self.graphs[id].angles) for id in samples], self.angle_budget))
        for run in tqdm(runs, desc=desc, leave=False, disable=not desc or None, unit="batch"):
            yield collate([self.graphs[samples[i]] for i in run])

    def steps(self, epoch: int, done: int = 0, parts: int = 1) -> Iterator[Step]:
        """One structure of every training material, drawn by weight."""
        shares = np.random.default_rng([self.seed, epoch]).random(len(self.train))
        chosen = [m.structure_at(s) for m, s in zip(self.train, shares, strict=True)]
        count = len(self.train)
        for rows in iterate(count, self.batch_size, seed=self.seed, epoch=epoch, done=done):
            graphs = [self.graphs[chosen[i].id] for i in rows]
            sizes = [len(graph.angles) for graph in graphs]
            budget = min(self.angle_budget, sum(sizes)) // parts
            yield [
                (
                    collate([graphs[k] for k in run]),
                    torch.tensor(self.targets[[rows[k] for k in run]], dtype=torch.float32),
                    [self.train[rows[k]].id for k in run],
                )
                for run in pack(sizes, budget)
            ]

    def __len__(self) -> int:
        return -(-len(self.train) // self.batch_size)


def _all_structures(materials: Sequence[Material]) -> tuple[list[str], list[int]]:
    pairs = [(c.id, index) for index, m in enumerate(materials) for c in m.crystals]
    return [id for id, _ in pairs], [index for _, index in pairs]
