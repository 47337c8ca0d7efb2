"""Graphs -> batches for training and validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from supervision.data.crystals import Material
from supervision.models.graph.batch import GraphBatch, collate, split_by_budget
from supervision.models.graph.symmetry_folding import FoldedGraph
from supervision.training.batches import LazySequence, RankShard, Step, shuffled


@dataclass(frozen=True)
class GraphSamples:
    """The graphs for training and validation; see ``training.two_stage.Samples``.

    A step has ``batch_size`` materials with one structure each. It is split into micro-batches of
    at most ``angle_budget`` angles, which bounds the memory of a step.
    """

    train: Sequence[Material]
    val: Sequence[Material]
    targets: np.ndarray
    graphs: Mapping[str, FoldedGraph]
    batch_size: int
    angle_budget: int
    seed: int

    def training_samples(self) -> tuple[list[str], list[int]]:
        """Crystal ids of the training structures, and the material index of each."""
        return _all_structures(self.train)

    def validation_samples(self) -> tuple[list[str], list[int]]:
        """Crystal ids of the validation structures, and the material index of each."""
        return _all_structures(self.val)

    def batches(self, samples: Sequence[str]) -> LazySequence[GraphBatch]:
        """Graphs in order, in batches within the angle budget."""
        sizes = [len(self.graphs[id].angles) for id in samples]
        groups = list(split_by_budget(sizes, self.angle_budget))
        return LazySequence(partial(self._batch, samples, groups), len(groups))

    def _batch(
        self, samples: Sequence[str], groups: Sequence[Sequence[int]], index: int
    ) -> GraphBatch:
        return collate([self.graphs[samples[i]] for i in groups[index]])

    def epoch_steps(self, epoch: int, shard: RankShard) -> LazySequence[Step]:
        """The steps of an epoch for one rank: one structure per material, drawn by weight."""
        count = len(self.train)
        random = np.random.default_rng([self.seed, epoch]).random(count)
        chosen = [m.structure_at(s).id for m, s in zip(self.train, random, strict=True)]
        order = shuffled(count, self.batch_size, seed=self.seed, epoch=epoch)
        return LazySequence(partial(self._step, chosen, order, shard), len(order))

    def _step(
        self, chosen: Sequence[str], order: Sequence[Sequence[int]], shard: RankShard, index: int
    ) -> Step:
        rows = shard.rows(order[index])
        graphs = [self.graphs[chosen[i]] for i in rows]
        sizes = [len(graph.angles) for graph in graphs]
        budget = min(self.angle_budget, sum(sizes)) // shard.accumulation_steps
        return [
            (
                collate([graphs[k] for k in group]),
                torch.tensor(self.targets[[rows[k] for k in group]], dtype=torch.float32),
                [self.train[rows[k]].id for k in group],
            )
            for group in split_by_budget(sizes, budget)
        ]


def _all_structures(materials: Sequence[Material]) -> tuple[list[str], list[int]]:
    pairs = [(c.id, index) for index, m in enumerate(materials) for c in m.crystals]
    return [id for id, _ in pairs], [index for _, index in pairs]
