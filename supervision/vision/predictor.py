"""The vision paradigm as a predictor: scenes, views, a backbone, a head."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from supervision.crystals import Crystal, CrystalError, Material
from supervision.predictor import CONFIG_FILE
from supervision.resources import pick_device
from supervision.target import TargetTransform
from supervision.training import Checkpoints, EpochRecord, FitConfig
from supervision.vision.config import VisionConfig
from supervision.vision.data import select_views, to_tensor
from supervision.vision.fitting import Fitting
from supervision.vision.model import (
    VisionRegressor,
    adapt_backbone,
    count_parameters,
    load_pretrained,
    merge_lora,
)
from supervision.vision.prepare import scene_of, scenes_of
from supervision.vision.render import draw
from supervision.vision.scene import SCENE_VERSION, Scene
from supervision.weights import Fetched, row_of

MODEL_FILE = "model.safetensors"


def _full_precision() -> AbstractContextManager:
    """Keep CUDA's convolutions from the short floats that it takes them in by itself."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


class VisionPredictor:
    """Renders crystals, reads the pictures with a vision transformer, averages in kelvin."""

    pipeline = "vision"

    def __init__(
        self,
        config: VisionConfig,
        fetched: Fetched,
        fit_config: FitConfig,
        *,
        device: str = "auto",
        quiet: bool = False,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.fit_config, self.quiet = config, fit_config, quiet
        self.device = pick_device(device)
        self.weights = {"name": fetched.name, "sha256": fetched.sha256}
        self.model = VisionRegressor(fetched.row)
        if fetched.pretrained:
            load_pretrained(self.model, fetched)
        self.target = TargetTransform(config.target)
        self.size: Mapping[str, int] = {}

    def fit(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        *,
        on_epoch: Callable[[EpochRecord], None] = lambda record: None,
        checkpoints: Checkpoints | None = None,
    ) -> list[EpochRecord]:
        """Fit the head on frozen features, then adapt the backbone; keep the best epoch."""
        config, model = self.config, self.model.to(self.device)
        scenes = self._scenes(train, val)
        self.target = TargetTransform.fit(np.array([m.tc for m in train]), config.target)
        fitting = Fitting(model, config, self.target, train, val, scenes, self.device, self.quiet)
        adapt_backbone(model, "linear", rank=1, alpha=1, dropout=0.0)
        self.size = count_parameters(model)
        if config.adapt == "linear":
            return fitting.head(
                self.fit_config,
                batch_size=config.batch_size,
                on_epoch=on_epoch,
                checkpoints=checkpoints,
                quiet=self.quiet,
            )
        resuming = checkpoints is not None and checkpoints.resume
        before = None if resuming else fitting.start(self.fit_config.weight_decay)
        adapt_backbone(
            model,
            config.adapt,
            rank=config.lora_rank,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
        )
        model.to(self.device)
        self.size = count_parameters(model)
        history = fitting.backbone(
            self.fit_config, before=before, on_epoch=on_epoch, checkpoints=checkpoints
        )
        if config.adapt == "lora":
            merge_lora(model)
        return history

    def _scenes(self, *parts: Sequence[Material]) -> dict[str, Scene]:
        """Scenes of all structures of the materials."""
        crystals = [c for part in parts for m in part for c in m.crystals]
        return scenes_of(crystals, bonding=self.config.bonding, quiet=self.quiet)

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Tc in kelvin, ``[n]``: the mean over ``views`` views, in float32.

        Each crystal is a batch of its own, so its number does not depend on its company;
        pictures that symmetry makes equal to the pixel are read once.
        Raises CrystalError, naming the crystal, for one that cannot be drawn.
        """
        self.model.to(self.device).eval()
        views = select_views(self.config.views)
        predicted = []
        for crystal in tqdm(crystals, desc="prediction", leave=False, disable=self.quiet or None):
            try:
                scene = scene_of(crystal, bonding=self.config.bonding)
            except CrystalError as error:
                raise CrystalError(f"{crystal.id}: {error}") from error
            pictures = [draw(scene, view) for view in views]
            distinct = {picture.tobytes(): picture for picture in pictures}
            with torch.inference_mode(), _full_precision():
                outputs = self.model(to_tensor(distinct.values()).to(self.device))
            kelvin = dict(zip(distinct, self.target.decode(outputs.cpu().numpy()), strict=True))
            predicted.append(np.mean([kelvin[picture.tobytes()] for picture in pictures]))
        return np.array(predicted)

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "pipeline": self.pipeline,
            "config": asdict(self.config),
            "weights": self.weights,
            "target": self.target.to_dict(),
            "scene_version": SCENE_VERSION,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
        state = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        save_file(state, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The predictor that ``save`` wrote.

        Raises ValueError where it was trained on pictures of another recipe than this code draws.
        """
        if config["scene_version"] != SCENE_VERSION:
            raise ValueError(
                f"The model was trained on pictures of recipe {config['scene_version']}; "
                f"this code draws recipe {SCENE_VERSION}."
            )
        row = row_of(config["weights"]["name"])
        empty = Fetched(row, None, "", "saved model", "")
        predictor = cls(VisionConfig(**config["config"]), empty, FitConfig(), quiet=True)
        predictor.weights = dict(config["weights"])
        predictor.model.load_state_dict(load_file(folder / MODEL_FILE), strict=True)
        predictor.target = TargetTransform(**config["target"])
        return predictor
