"""Materials and their graphs -> the samples that a graph model is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from supervision.data.crystals import Material
from supervision.models.graph.batch import GraphBatch, collate, pack
from supervision.models.graph.symmetry_folding import FoldedGraph
from supervision.training.batches import LazySequence, RankShard, Step, shuffled


@dataclass(frozen=True)
class GraphSamples:
    """The graphs that a model is trained on and chosen by; see ``training.two_stage.Samples``.

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

    def batches(self, samples: Sequence[str]) -> LazySequence[GraphBatch]:
        """Graphs in order, in batches that keep to the budget."""
        runs = list(pack([len(self.graphs[id].angles) for id in samples], self.angle_budget))
        return LazySequence(partial(self._batch, samples, runs), len(runs))

    def _batch(
        self, samples: Sequence[str], runs: Sequence[Sequence[int]], place: int
    ) -> GraphBatch:
        return collate([self.graphs[samples[i]] for i in runs[place]])

    def epoch(self, number: int, share: RankShard) -> LazySequence[Step]:
        """One structure of every training material, drawn by weight."""
        count = len(self.train)
        shares = np.random.default_rng([self.seed, number]).random(count)
        chosen = [m.structure_at(s).id for m, s in zip(self.train, shares, strict=True)]
        order = shuffled(count, self.batch_size, seed=self.seed, epoch=number)
        return LazySequence(partial(self._step, chosen, order, share), len(order))

    def _step(
        self, chosen: Sequence[str], order: Sequence[Sequence[int]], share: RankShard, place: int
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
