"""How a model is fitted, whatever it reads: its head first, on frozen features, then all of it.

A head on fresh weights sends a pretrained backbone astray in its first steps; one that already
fits the backbone's features does not. It costs seconds once the features are there.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from supervision.checkpoint import Checkpoints
from supervision.crystals import Material
from supervision.descent import FitConfig
from supervision.metrics import all_metrics
from supervision.resources import autocast
from supervision.target import TargetTransform
from supervision.training import EpochRecord, Step, fit, iterate

OnEpoch = Callable[[EpochRecord], None]


class Regressor(Protocol):
    """An ``nn.Module`` in two halves: inputs to features, features to targets."""

    def features(self, inputs: Any) -> torch.Tensor:
        """What the backbone makes of a batch, ``[b, f]``."""

    def regress(self, features: torch.Tensor) -> torch.Tensor:
        """What the head makes of features, ``[b]`` in target space."""

    def standardise(self, features: torch.Tensor) -> None:
        """Take the mean and the deviation that ``regress`` divides by from these."""


class Samples(Protocol):
    """What a model reads of materials (pictures, graphs), and in which batches."""

    def of_training(self) -> tuple[Sequence[Any], Sequence[int]]:
        """The samples that the head is fitted to, and the training material each is of."""

    def of_validation(self) -> tuple[Sequence[Any], Sequence[int]]:
        """The samples that choose the epoch, and the validation material each is of."""

    def read(self, samples: Sequence[Any], desc: str) -> Iterator[Any]:
        """Inputs of samples, in their order."""

    def steps(self, epoch: int, done: int, parts: int) -> Iterator[Step]:
        """What is left of one epoch of training after ``done`` steps, a matter of these alone.

        Each is cut into ``parts`` times as many batches as it has for itself.
        """

    def __len__(self) -> int:
        """Steps an epoch."""


@dataclass(frozen=True)
class HeadFit:
    """How the head is fitted before the backbone moves."""

    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float


@dataclass(frozen=True)
class Fitting:
    """A model, and the materials that it learns from and is chosen by."""

    model: Any  # an nn.Module that is a Regressor
    samples: Samples
    target: TargetTransform
    train: Sequence[Material]
    val: Sequence[Material]
    device: torch.device
    seed: int
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
        """Fit the head alone; an epoch is every training sample, in batches of ``batch_size``."""
        samples, owners = self.samples.of_training()
        features = self._outputs(self.model.features, samples, desc="frozen features")
        self.model.standardise(features)
        targets = torch.tensor(
            self.target.encode([self.train[i].tc for i in owners]), dtype=torch.float32
        )
        ids = [self.train[i].id for i in owners]
        val_samples, val_owners = self.samples.of_validation()
        val_features = self._outputs(self.model.features, val_samples, desc="frozen features")

        def steps(epoch: int, done: int, _parts: int) -> Iterator[Step]:
            for rows in iterate(len(ids), batch_size, seed=self.seed, epoch=epoch, done=done):
                yield [(features[rows], targets[rows], [ids[i] for i in rows])]

        def validate() -> dict[str, float]:
            with torch.no_grad():
                outputs = reader(val_features.to(self.device)).float().cpu()
            return self._errors(val_owners, outputs)

        reader = _Reader(self.model)
        return fit(
            reader,
            steps,
            validate,
            fit_config,
            steps_per_epoch=-(-len(ids) // batch_size),
            device=self.device,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            quiet=quiet,
        )

    def start(self, how: HeadFit) -> EpochRecord:
        """Fit the head as a start for the backbone; returns that start as epoch 0."""
        began = time.monotonic()
        fit_config = FitConfig(
            epochs=how.epochs,
            learning_rate=how.learning_rate,
            weight_decay=how.weight_decay,
            patience=how.epochs,
        )
        history = self.head(fit_config, batch_size=how.batch_size, quiet=True)
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
        """Train head and backbone together."""
        samples, owners = self.samples.of_validation()
        return fit(
            self.model,
            self.samples.steps,
            lambda: self._errors(owners, self._outputs(self.model, samples, desc="validation")),
            fit_config,
            steps_per_epoch=len(self.samples),
            device=self.device,
            on_epoch=on_epoch,
            before=before,
            checkpoints=checkpoints,
            quiet=self.quiet,
        )

    @torch.inference_mode()
    def _outputs(
        self, read: Callable[[Any], torch.Tensor], samples: Sequence[Any], *, desc: str
    ) -> torch.Tensor:
        """Outputs of every sample in order, in bfloat16 where that is fast."""
        self.model.eval()
        outputs = []
        for inputs in self.samples.read(samples, "" if self.quiet else desc):
            with autocast(self.device):
                output = read(inputs.to(self.device))
            outputs.append(output.float().cpu())
        return torch.cat(outputs)

    def _errors(self, owners: Sequence[int], outputs: torch.Tensor) -> dict[str, float]:
        """Errors over validation materials, each the mean in kelvin of its samples."""
        kelvin = self.target.decode(outputs.numpy())
        tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
        return all_metrics(np.array([m.tc for m in self.val]), tc_pred)


class _Reader(nn.Module):
    """The half of a model that is fitted first: features to targets."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model.regress(features)
