"""The vision paradigm as a predictor: scenes, views, a backbone, a head."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm.auto import tqdm

from supervision.crystals import Crystal, CrystalError, Material
from supervision.metrics import all_metrics
from supervision.predictor import CONFIG_FILE
from supervision.resources import autocast, pick_device
from supervision.target import TargetTransform
from supervision.training import Batch, Checkpoints, EpochRecord, FitConfig, fit, iterate
from supervision.vision.data import (
    TrainingViews,
    fixed_views,
    picture_batches,
    select_views,
    to_tensor,
)
from supervision.vision.model import (
    ADAPTATIONS,
    VisionRegressor,
    adapt_backbone,
    count_parameters,
    load_pretrained,
    merge_lora,
)
from supervision.vision.prepare import prepare_scenes, scene_of
from supervision.vision.render import draw
from supervision.vision.scene import BONDINGS, SCENE_VERSION, Scene
from supervision.weights import Fetched, row_of

MODEL_FILE = "model.safetensors"
VALIDATION_VIEWS = 2
FEATURE_BATCH = 16
COUNTS = (
    "lora_rank", "lora_alpha", "batch_size", "head_epochs", "head_batch_size", "head_views",
)  # fmt: skip


@dataclass(frozen=True)
class VisionConfig:
    """Everything that shapes a vision model, beside the data and the weights.

    The head is first fitted to standardised frozen features (``head_*``: seconds once the
    features are there), and only then does the backbone move: from a random head LoRA spends its
    first epochs at the constant.
    """

    adapt: str = "lora"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    batch_size: int = 8
    views: int = 18
    target: str = "sqrt"
    bonding: str = "fast"
    head_epochs: int = 20
    head_learning_rate: float = 1e-3
    head_batch_size: int = 64
    head_views: int = 6
    seed: int = 42

    def __post_init__(self) -> None:
        if self.adapt not in ADAPTATIONS:
            raise ValueError(f"adapt '{self.adapt}' is not one of {', '.join(ADAPTATIONS)}.")
        if self.bonding not in BONDINGS:
            raise ValueError(f"bonding '{self.bonding}' is not one of {', '.join(BONDINGS)}.")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}.")
        select_views(self.views)
        TargetTransform(self.target)


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
        config = self.config
        scenes = self._scenes(train, val)
        tc = np.array([m.tc for m in train])
        self.target = TargetTransform.fit(tc, config.target)
        self.model.to(self.device)
        resuming = checkpoints is not None and checkpoints.resume
        alone = config.adapt == "linear"
        adapt_backbone(self.model, "linear", rank=1, alpha=1, dropout=0.0)
        before = None
        if alone or not resuming:
            start = time.monotonic()
            history = self._fit_head(train, val, scenes, on_epoch if alone else None, checkpoints)
            if alone:
                return history
            best = min(history, key=lambda record: record.val_mae)
            before = replace(best, epoch=0, best=True, seconds=time.monotonic() - start)
            if not self.quiet:
                print(f"The head alone: validation MAE {before.val_mae:.3f} K.", flush=True)
        adapt_backbone(
            self.model,
            config.adapt,
            rank=config.lora_rank,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
        )
        self.model.to(self.device)
        self.size = count_parameters(self.model)
        batches = TrainingViews(
            train,
            self.target.encode(tc),
            scenes,
            select_views(config.views),
            config.batch_size,
            config.seed,
        )
        pictures, owners = fixed_views(val, select_views(VALIDATION_VIEWS))
        history = fit(
            self.model,
            batches,
            lambda: self._errors(
                val,
                owners,
                self._outputs(self.model, pictures, scenes, desc="validation"),
            ),
            self.fit_config,
            steps_per_epoch=len(batches),
            device=self.device,
            on_epoch=on_epoch,
            before=before,
            checkpoints=checkpoints,
            quiet=self.quiet,
        )
        if config.adapt == "lora":
            merge_lora(self.model)
        return history

    def _scenes(self, *parts: Sequence[Material]) -> dict[str, Scene]:
        """Scenes of all structures of the materials; every one must already be known good."""
        crystals = [c for part in parts for m in part for c in m.crystals]
        bonding = self.config.bonding
        scenes, rejects = prepare_scenes(crystals, bonding=bonding, quiet=self.quiet)
        if rejects:
            raise CrystalError(f"{rejects[0].name} cannot be drawn: {rejects[0].reason}")
        return scenes

    def _fit_head(
        self,
        train: Sequence[Material],
        val: Sequence[Material],
        scenes: Mapping[str, Scene],
        on_epoch: Callable[[EpochRecord], None] | None,
        checkpoints: Checkpoints | None,
    ) -> list[EpochRecord]:
        """Fit the head alone on features of up to ``head_views`` fixed views, backbone frozen.

        With ``on_epoch`` this is the whole training (adapt=linear), else a start for it.
        """
        config, model = self.config, self.model
        pictures, owners = fixed_views(train, select_views(min(config.head_views, config.views)))
        features = self._outputs(model.features, pictures, scenes, desc="frozen features")
        model.standardise(features)
        targets = torch.tensor(
            self.target.encode([train[i].tc for i in owners]), dtype=torch.float32
        )
        ids = [train[i].id for i in owners]
        val_pictures, val_owners = fixed_views(val, select_views(VALIDATION_VIEWS))
        val_features = self._outputs(model.features, val_pictures, scenes, desc="frozen features")

        def batches(epoch: int) -> Iterator[Batch]:
            for rows in iterate(len(ids), config.head_batch_size, seed=config.seed, epoch=epoch):
                yield features[rows], targets[rows], [ids[i] for i in rows]

        def validate() -> dict[str, float]:
            with torch.no_grad():
                outputs = head(val_features.to(self.device)).float().cpu()
            return self._errors(val, val_owners, outputs)

        head = _Head(model)
        alone = on_epoch is not None
        self.size = count_parameters(model)
        return fit(
            head,
            batches,
            validate,
            self.fit_config if alone else self._head_config(),
            steps_per_epoch=-(-len(ids) // config.head_batch_size),
            device=self.device,
            on_epoch=on_epoch or (lambda record: None),
            checkpoints=checkpoints if alone else None,
            quiet=self.quiet or not alone,
        )

    def _head_config(self) -> FitConfig:
        config = self.config
        return FitConfig(
            epochs=config.head_epochs,
            learning_rate=config.head_learning_rate,
            weight_decay=self.fit_config.weight_decay,
            patience=config.head_epochs,
        )

    @torch.inference_mode()
    def _outputs(
        self,
        read: Callable[[torch.Tensor], torch.Tensor],
        pictures: Sequence[tuple[str, int]],
        scenes: Mapping[str, Scene],
        *,
        desc: str,
    ) -> torch.Tensor:
        """Outputs of every picture in order, in bfloat16 where that is fast."""
        self.model.eval()
        outputs = []
        batches = picture_batches(pictures, scenes, FEATURE_BATCH, desc=desc, quiet=self.quiet)
        for images in batches:
            with autocast(self.device):
                output = read(images.to(self.device))
            outputs.append(output.float().cpu())
        return torch.cat(outputs)

    def _errors(
        self, materials: Sequence[Material], owners: Sequence[int], outputs: torch.Tensor
    ) -> dict[str, float]:
        """Errors over materials, each the mean in kelvin of its pictures."""
        kelvin = self.target.decode(outputs.numpy())
        tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
        return all_metrics(np.array([m.tc for m in materials]), tc_pred)

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
            pictures = np.stack([draw(scene, view) for view in views])
            distinct, which = np.unique(pictures, axis=0, return_inverse=True)
            with torch.inference_mode():
                outputs = self.model(to_tensor(distinct).to(self.device))
            predicted.append(self.target.decode(outputs.cpu().numpy())[which].mean())
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


class _Head(nn.Module):
    """The half that is fitted first: features to targets."""

    def __init__(self, model: VisionRegressor) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model.regress(features)
