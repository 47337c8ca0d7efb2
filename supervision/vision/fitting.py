"""How a vision model is fitted: its head first, on frozen features, then the backbone with it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from supervision.crystals import Material
from supervision.metrics import all_metrics
from supervision.resources import autocast
from supervision.target import TargetTransform
from supervision.training import Batch, Checkpoints, EpochRecord, FitConfig, fit, iterate
from supervision.vision.config import VisionConfig
from supervision.vision.data import TrainingViews, fixed_views, picture_batches, select_views
from supervision.vision.model import VisionRegressor
from supervision.vision.scene import Scene

VALIDATION_VIEWS = 2
FEATURE_BATCH = 16
OnEpoch = Callable[[EpochRecord], None]


@dataclass(frozen=True)
class Fitting:
    """A model, and the materials that it learns from and is chosen by."""

    model: VisionRegressor
    config: VisionConfig
    target: TargetTransform
    train: Sequence[Material]
    val: Sequence[Material]
    scenes: Mapping[str, Scene]
    device: torch.device
    quiet: bool

    def head(
        self,
        fit_config: FitConfig,
        *,
        batch_size: int,
        on_epoch: OnEpoch = lambda record: None,
        checkpoints: Checkpoints | None = None,
        quiet: bool,
    ) -> list[EpochRecord]:
        """Fit the head alone, to the features of up to ``head_views`` views of each material.

        An epoch is every one of these pictures, in batches of ``batch_size``.
        """
        config, model = self.config, self.model
        chosen = select_views(min(config.head_views, config.views))
        pictures, owners = fixed_views(self.train, chosen)
        features = self._outputs(model.features, pictures, desc="frozen features")
        model.standardise(features)
        targets = torch.tensor(
            self.target.encode([self.train[i].tc for i in owners]), dtype=torch.float32
        )
        ids = [self.train[i].id for i in owners]
        val_pictures, val_owners = self._validation_views()
        val_features = self._outputs(model.features, val_pictures, desc="frozen features")

        def batches(epoch: int) -> Iterator[Batch]:
            for rows in iterate(len(ids), batch_size, seed=config.seed, epoch=epoch):
                yield features[rows], targets[rows], [ids[i] for i in rows]

        def validate() -> dict[str, float]:
            with torch.no_grad():
                outputs = reader(val_features.to(self.device)).float().cpu()
            return self._errors(val_owners, outputs)

        reader = _Reader(model)
        return fit(
            reader,
            batches,
            validate,
            fit_config,
            steps_per_epoch=-(-len(ids) // batch_size),
            device=self.device,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            quiet=quiet,
        )

    def start(self, weight_decay: float) -> EpochRecord:
        """Fit the head as a start for the backbone; returns that start as epoch 0."""
        config, began = self.config, time.monotonic()
        fit_config = FitConfig(
            epochs=config.head_epochs,
            learning_rate=config.head_learning_rate,
            weight_decay=weight_decay,
            patience=config.head_epochs,
        )
        history = self.head(fit_config, batch_size=config.head_batch_size, quiet=True)
        best = min(history, key=lambda record: record.val_mae)
        if not self.quiet:
            print(f"The head alone: validation MAE {best.val_mae:.3f} K.", flush=True)
        return replace(best, epoch=0, best=True, seconds=time.monotonic() - began)

    def backbone(
        self,
        fit_config: FitConfig,
        *,
        before: EpochRecord | None,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints | None,
    ) -> list[EpochRecord]:
        """Train head and backbone, already adapted, on one random view a material an epoch."""
        config = self.config
        batches = TrainingViews(
            self.train,
            self.target.encode([m.tc for m in self.train]),
            self.scenes,
            select_views(config.views),
            config.batch_size,
            config.seed,
        )
        pictures, owners = self._validation_views()
        return fit(
            self.model,
            batches,
            lambda: self._errors(owners, self._outputs(self.model, pictures, desc="validation")),
            fit_config,
            steps_per_epoch=len(batches),
            device=self.device,
            on_epoch=on_epoch,
            before=before,
            checkpoints=checkpoints,
            quiet=self.quiet,
        )

    def _validation_views(self) -> tuple[list[tuple[str, int]], list[int]]:
        """The pictures that choose the epoch: two views, never one that the model does not use."""
        return fixed_views(self.val, select_views(min(VALIDATION_VIEWS, self.config.views)))

    @torch.inference_mode()
    def _outputs(
        self,
        read: Callable[[torch.Tensor], torch.Tensor],
        pictures: Sequence[tuple[str, int]],
        *,
        desc: str,
    ) -> torch.Tensor:
        """Outputs of every picture in order, in bfloat16 where that is fast."""
        self.model.eval()
        outputs = []
        batches = picture_batches(pictures, self.scenes, FEATURE_BATCH, desc=desc, quiet=self.quiet)
        for images in batches:
            with autocast(self.device):
                output = read(images.to(self.device))
            outputs.append(output.float().cpu())
        return torch.cat(outputs)

    def _errors(self, owners: Sequence[int], outputs: torch.Tensor) -> dict[str, float]:
        """Errors over validation materials, each the mean in kelvin of its pictures."""
        kelvin = self.target.decode(outputs.numpy())
        tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
        return all_metrics(np.array([m.tc for m in self.val]), tc_pred)


class _Reader(nn.Module):
    """The half of a model that is fitted first: features to targets."""

    def __init__(self, model: VisionRegressor) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model.regress(features)
