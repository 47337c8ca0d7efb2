"""Scenes -> batches of images for training and validation."""

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
FEATURE_BATCH_IMAGES = 16


def to_tensor(images: Iterable[np.ndarray]) -> torch.Tensor:
    """RGB images ``[h, w, 3]`` -> uint8 ``[b, 3, h, w]``."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class TrainingViews:
    """Training steps: per epoch, one random view of one structure of each material.

    The choice depends on seed and epoch only, so any epoch can be reproduced.
    """

    materials: Sequence[Material]
    targets: np.ndarray
    scenes: Mapping[str, Scene]
    views: tuple[int, ...]
    batch_size: int
    seed: int

    def choose(self, epoch: int) -> list[tuple[Crystal, int]]:
        """A structure, drawn by weight, and a view for each material."""
        rng = np.random.default_rng([self.seed, epoch])
        structure, view = rng.random(len(self.materials)), rng.random(len(self.materials))
        return [
            (material.structure_at(s), self.views[int(v * len(self.views))])
            for material, s, v in zip(self.materials, structure, view, strict=True)
        ]

    def epoch_steps(self, epoch: int, shard: RankShard) -> LazySequence[Step]:
        """The steps of an epoch for one rank."""
        order = shuffled(len(self.materials), self.batch_size, seed=self.seed, epoch=epoch)
        return LazySequence(partial(self._step, self.choose(epoch), order, shard), len(order))

    def _step(
        self,
        chosen: Sequence[tuple[Crystal, int]],
        order: Sequence[Sequence[int]],
        shard: RankShard,
        index: int,
    ) -> Step:
        rows = shard.rows(order[index])
        if not rows:
            return []
        step = []
        for part in np.array_split(rows, min(shard.accumulation_steps, len(rows))):
            images = draw_images([(chosen[i][0].id, chosen[i][1]) for i in part], self.scenes)
            targets = torch.tensor(self.targets[part], dtype=torch.float32)
            step.append((images, targets, [self.materials[i].id for i in part]))
        return step


@dataclass(frozen=True)
class ViewSamples:
    """The images for training and validation; see ``training.two_stage.Samples``.

    Attributes:
        train: the steps of each epoch.
        val: validation materials.
        scenes: by crystal id.
        views: number of views that the model uses.
        head_views: number of views per material that the head is fitted to.
    """

    train: TrainingViews
    val: Sequence[Material]
    scenes: Mapping[str, Scene]
    views: int
    head_views: int

    def training_samples(self) -> tuple[list[tuple[str, int]], list[int]]:
        """Images ``(crystal id, view)`` for fitting the head, and the material index of each."""
        return fixed_views(self.train.materials, select_views(min(self.head_views, self.views)))

    def validation_samples(self) -> tuple[list[tuple[str, int]], list[int]]:
        """Images ``(crystal id, view)`` for validation, and the material index of each."""
        return fixed_views(self.val, select_views(min(VALIDATION_VIEWS, self.views)))

    def batches(self, samples: Sequence[tuple[str, int]]) -> LazySequence[torch.Tensor]:
        """Images in order as uint8 batches ``[b, 3, h, w]``."""
        return image_batches(samples, self.scenes, FEATURE_BATCH_IMAGES)

    def epoch_steps(self, epoch: int, shard: RankShard) -> LazySequence[Step]:
        """One random view of every training material."""
        return self.train.epoch_steps(epoch, shard)


def fixed_views(
    materials: Sequence[Material], views: tuple[int, ...]
) -> tuple[list[tuple[str, int]], list[int]]:
    """One image per material and view; views cycle through the material's structures.

    Returns ``(crystal id, view)`` and the material index of each image.
    """
    images, owners = [], []
    for index, material in enumerate(materials):
        for i, view in enumerate(views):
            images.append((material.crystals[i % len(material.crystals)].id, view))
            owners.append(index)
    return images, owners


def image_batches(
    images: Sequence[tuple[str, int]], scenes: Mapping[str, Scene], batch_size: int
) -> LazySequence[torch.Tensor]:
    """Images ``(crystal id, view)`` in order as uint8 batches ``[b, 3, h, w]``."""
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    return LazySequence(partial(_draw_batch, batches, scenes), len(batches))


def _draw_batch(
    batches: Sequence[Sequence[tuple[str, int]]], scenes: Mapping[str, Scene], index: int
) -> torch.Tensor:
    return draw_images(batches[index], scenes)


def draw_images(images: Iterable[tuple[str, int]], scenes: Mapping[str, Scene]) -> torch.Tensor:
    """Images ``(crystal id, view)`` as one uint8 batch ``[b, 3, h, w]``."""
    cv2.setNumThreads(1)
    return to_tensor(draw(scenes[id], view) for id, view in images)
