"""Scenes -> the batches of views a vision model reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch

from supervision.data.crystals import Crystal, Material
from supervision.models.vision.render import draw
from supervision.models.vision.scene import Scene
from supervision.models.vision.views import select_views
from supervision.training.batches import LazySequence, RankShard, Step, shuffled

VALIDATION_VIEWS = 2
READ_BATCH = 16


def to_tensor(images: Iterable[np.ndarray]) -> torch.Tensor:
    """RGB images ``[h, w, 3]`` -> uint8 ``[b, 3, h, w]``."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class TrainingViews:
    """One random view of one of its structures a material an epoch.

    Which, depends on seed, epoch and material alone: any epoch can be drawn again.
    """

    materials: Sequence[Material]
    targets: np.ndarray
    scenes: Mapping[str, Scene]
    views: tuple[int, ...]
    batch_size: int
    seed: int

    def choose(self, epoch: int) -> list[tuple[Crystal, int]]:
        """A structure (by weight) and a view for each material."""
        rng = np.random.default_rng([self.seed, epoch])
        structure, view = rng.random(len(self.materials)), rng.random(len(self.materials))
        return [
            (material.structure_at(s), self.views[int(v * len(self.views))])
            for material, s, v in zip(self.materials, structure, view, strict=True)
        ]

    def epoch(self, number: int, share: RankShard) -> LazySequence[Step]:
        """The steps of an epoch."""
        order = shuffled(len(self.materials), self.batch_size, seed=self.seed, epoch=number)
        return LazySequence(partial(self._step, self.choose(number), order, share), len(order))

    def _step(
        self,
        chosen: Sequence[tuple[Crystal, int]],
        order: Sequence[Sequence[int]],
        share: RankShard,
        place: int,
    ) -> Step:
        rows = share.of(order[place])
        step = []
        for part in np.array_split(rows, min(share.parts, len(rows))) if rows else ():
            images = draw_all([(chosen[i][0].id, chosen[i][1]) for i in part], self.scenes)
            targets = torch.tensor(self.targets[part], dtype=torch.float32)
            step.append((images, targets, [self.materials[i].id for i in part]))
        return step


@dataclass(frozen=True)
class ViewSamples:
    """The pictures that a model is trained on and chosen by; see ``training.two_stage.Samples``.

    ``views`` a structure are drawn from in training, the first ``head_views`` of them fit the head,
    and the first two choose the epoch.
    """

    train: TrainingViews
    val: Sequence[Material]
    scenes: Mapping[str, Scene]
    views: int
    head_views: int

    def of_training(self) -> tuple[list[tuple[str, int]], list[int]]:
        """Pictures ``(crystal id, view)`` that the head is fitted to."""
        return fixed_views(self.train.materials, select_views(min(self.head_views, self.views)))

    def of_validation(self) -> tuple[list[tuple[str, int]], list[int]]:
        """The pictures that choose the epoch: never a view that the model does not use."""
        return fixed_views(self.val, select_views(min(VALIDATION_VIEWS, self.views)))

    def batches(self, samples: Sequence[tuple[str, int]]) -> LazySequence[torch.Tensor]:
        """Pictures in order as uint8 batches ``[b, 3, h, w]``."""
        return picture_batches(samples, self.scenes, READ_BATCH)

    def epoch(self, number: int, share: RankShard) -> LazySequence[Step]:
        """One random view of every training material."""
        return self.train.epoch(number, share)


def fixed_views(
    materials: Sequence[Material], views: tuple[int, ...]
) -> tuple[list[tuple[str, int]], list[int]]:
    """One picture a material and view, its structures taken in turn.

    Returns ``(crystal id, view)`` of each picture and the index of the material it is of.
    """
    pictures, owners = [], []
    for index, material in enumerate(materials):
        for turn, view in enumerate(views):
            pictures.append((material.crystals[turn % len(material.crystals)].id, view))
            owners.append(index)
    return pictures, owners


def picture_batches(
    pictures: Sequence[tuple[str, int]], scenes: Mapping[str, Scene], batch_size: int
) -> LazySequence[torch.Tensor]:
    """Pictures in order as uint8 batches ``[b, 3, h, w]``."""
    runs = [pictures[at : at + batch_size] for at in range(0, len(pictures), batch_size)]
    return LazySequence(partial(_drawn, runs, scenes), len(runs))


def _drawn(
    runs: Sequence[Sequence[tuple[str, int]]], scenes: Mapping[str, Scene], place: int
) -> torch.Tensor:
    return draw_all(runs[place], scenes)


def draw_all(pictures: Iterable[tuple[str, int]], scenes: Mapping[str, Scene]) -> torch.Tensor:
    """Pictures ``(crystal id, view)`` as one uint8 batch ``[b, 3, h, w]``."""
    cv2.setNumThreads(1)
    return to_tensor(draw(scenes[id], view) for id, view in pictures)
