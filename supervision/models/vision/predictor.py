"""The predictor of the vision family: scenes, views, a backbone, a head."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np

from supervision.data.crystals import Crystal, Material
from supervision.models.neural import NeuralPredictor
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.data import TrainingViews, ViewSamples, to_tensor
from supervision.models.vision.featurize import featurize_all_scenes, scene_featurizer
from supervision.models.vision.model import (
    VisionRegressor,
    adapt_backbone,
    load_pretrained,
    merge_lora,
)
from supervision.models.vision.render import draw
from supervision.models.vision.scene import SCENE_VERSION
from supervision.models.vision.views import select_views
from supervision.models.weights import Fetched, ImageWeights
from supervision.runtime.device import autocast, in_bfloat16, to_bfloat16
from supervision.training.callbacks import EpochRecord


class VisionPredictor(NeuralPredictor):
    """Renders crystals, reads the images with a vision transformer, averages in kelvin."""

    model_family = "vision"
    config_class = VisionConfig
    features_version = ("scene", SCENE_VERSION)
    config: VisionConfig

    def build(self, fetched: Fetched) -> VisionRegressor:
        """A DINO backbone and a head on colour statistics and patch tokens."""
        assert isinstance(fetched.entry, ImageWeights)
        model = VisionRegressor(fetched.entry, background=self.config.background)
        if fetched.pretrained:
            load_pretrained(model, fetched)
        return model

    def cache_key(self) -> tuple[Any, ...]:
        """As in all networks, with how images are read; ``adapt=full`` reads in float32."""
        config = self.config
        return (*super().cache_key(), config.background, config.bonding, config.adapt == "full")

    def adapt(self) -> None:
        """Train LoRA on the last blocks, or the whole backbone."""
        config = self.config
        adapt_backbone(
            self.model,
            config.adapt,
            rank=config.lora_rank,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            last=config.lora_blocks,
        )

    def fit(self, *args: Any, **options: Any) -> list[EpochRecord]:
        """As in all networks; then LoRA's matrices are merged into those that they adapt.

        Until then a frozen backbone is in bfloat16, where that is fast.
        """
        frozen = self.config.adapt != "full"
        precision = in_bfloat16(self.model.backbone, self.device) if frozen else nullcontext()
        with precision:
            history = super().fit(*args, **options)
        if self.config.adapt == "lora":
            merge_lora(self.model)
        return history

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """As in all networks, but in bfloat16 where that is fast, as in validation."""
        with in_bfloat16(self.model.backbone, self.device), autocast(self.device):
            return super().predict(crystals)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """As in all networks; a model saved before ``background`` existed reads the background.

        Its frozen weights are bfloat16 from now on where that is fast: threads share them.
        """
        settings = {"background": True} | config["config"]
        predictor = super().load(folder, {**config, "config": settings})
        to_bfloat16(predictor.model.backbone, predictor.device)
        return predictor

    def samples(self, train: Sequence[Material], val: Sequence[Material]) -> ViewSamples:
        """The images for training and validation."""
        config = self.config
        crystals = [c for part in (train, val) for m in part for c in m.crystals]
        scenes = featurize_all_scenes(crystals, bonding=config.bonding, quiet=self.quiet)
        targets, views = self.target.encode([m.tc for m in train]), select_views(config.views)
        drawn = TrainingViews(train, targets, scenes, views, config.batch_size, config.seed)
        return ViewSamples(drawn, val, scenes, config.views, config.head_views)

    def images(self, crystal: Crystal) -> list[np.ndarray]:
        """The images of the views that are read, each uint8 RGB ``[224, 224, 3]``."""
        scene = scene_featurizer(self.config.bonding).featurize(crystal)
        return [draw(scene, view) for view in select_views(self.config.views)]

    def forward_crystal(self, crystal: Crystal) -> np.ndarray:
        """One output per view; views that symmetry makes equal to the pixel are read once."""
        images = self.images(crystal)
        distinct = {image.tobytes(): image for image in images}
        outputs = self.model(to_tensor(distinct.values()).to(self.device)).cpu().numpy()
        found = dict(zip(distinct, outputs, strict=True))
        return np.array([found[image.tobytes()] for image in images])
