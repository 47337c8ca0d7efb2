"""The vision paradigm as a predictor: scenes, views, a backbone, a head."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np

from supervision.data.crystals import Crystal, Material
from supervision.models.neural import NeuralPredictor
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.data import TrainingViews, ViewSamples, to_tensor
from supervision.models.vision.featurize import scene_featurizer, scenes_of
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
    """Renders crystals, reads the pictures with a vision transformer, averages in kelvin."""

    model_family = "vision"
    config_class = VisionConfig
    recipe = ("scene", SCENE_VERSION)
    config: VisionConfig

    def build(self, fetched: Fetched) -> VisionRegressor:
        """A DINO backbone and a head on palette and patch tokens."""
        assert isinstance(fetched.row, ImageWeights)
        model = VisionRegressor(fetched.row, background=self.config.background)
        if fetched.pretrained:
            load_pretrained(model, fetched)
        return model

    def frozen(self) -> tuple[Any, ...]:
        """As of every network, and of how it sees its pictures; all of it trains in float32."""
        config = self.config
        return (*super().frozen(), config.background, config.bonding, config.adapt == "full")

    def adapt(self) -> None:
        """LoRA on the last blocks, or the whole backbone."""
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
        """As every network; then LoRA's matrices are folded into those they adapt.

        A backbone that stays frozen is kept in bfloat16 until then, where that is fast.
        """
        frozen = self.config.adapt != "full"
        kept = in_bfloat16(self.model.backbone, self.device) if frozen else nullcontext()
        with kept:
            history = super().fit(*args, **options)
        if self.config.adapt == "lora":
            merge_lora(self.model)
        return history

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """As every network, but read as in validation: in bfloat16 where that is fast.

        The weights of one that was loaded are so already.
        """
        with in_bfloat16(self.model.backbone, self.device), autocast(self.device):
            return super().predict(crystals)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """As every network; a model saved before it could be left out reads the background.

        Its frozen weights are bfloat16 from here on where that is fast: threads ask it at once.
        """
        settings = {"background": True} | config["config"]
        predictor = super().load(folder, {**config, "config": settings})
        to_bfloat16(predictor.model.backbone, predictor.device)
        return predictor

    def samples(self, train: Sequence[Material], val: Sequence[Material]) -> ViewSamples:
        """The pictures to learn from and to be chosen by."""
        config = self.config
        crystals = [c for part in (train, val) for m in part for c in m.crystals]
        scenes = scenes_of(crystals, bonding=config.bonding, quiet=self.quiet)
        targets, views = self.target.encode([m.tc for m in train]), select_views(config.views)
        drawn = TrainingViews(train, targets, scenes, views, config.batch_size, config.seed)
        return ViewSamples(drawn, val, scenes, config.views, config.head_views)

    def read(self, crystal: Crystal) -> np.ndarray:
        """One output a view; pictures that symmetry makes equal to the pixel are read once."""
        scene = scene_featurizer(self.config.bonding).of(crystal)
        pictures = [draw(scene, view) for view in select_views(self.config.views)]
        distinct = {picture.tobytes(): picture for picture in pictures}
        outputs = self.model(to_tensor(distinct.values()).to(self.device)).cpu().numpy()
        found = dict(zip(distinct, outputs, strict=True))
        return np.array([found[picture.tobytes()] for picture in pictures])
