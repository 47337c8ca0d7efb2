"""How a neural model is fitted: its head first, on frozen features, then head and backbone.

A randomly initialised head destroys a pretrained backbone in its first steps; a head that already
fits the backbone's features does not. Fitting it takes seconds once the features are computed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from supervision.data.crystals import Material
from supervision.evaluation.metrics import all_metrics
from supervision.runtime.device import autocast
from supervision.runtime.memory import limit_fragmentation
from supervision.runtime.progress import track
from supervision.training.batches import LazySequence, RankShard, Step, load, shuffled
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import CheckpointError, Checkpoints, PartialResults
from supervision.training.config import FitConfig
from supervision.training.distributed import ProcessGroup
from supervision.training.feature_cache import FeatureCache
from supervision.training.memory_estimate import estimate_memory, free_memory_on
from supervision.training.target import TargetTransform
from supervision.training.trainer import Trainer


class Regressor(Protocol):
    """An ``nn.Module`` in two parts: inputs to features, features to targets."""

    def features(self, inputs: Any) -> torch.Tensor:
        """The backbone's features of a batch, ``[b, f]``."""

    def regress(self, features: torch.Tensor) -> torch.Tensor:
        """The head's outputs, ``[b]`` in target space."""

    def standardise(self, features: torch.Tensor) -> None:
        """Set the mean and the deviation that ``regress`` standardises by to those of these."""


class Samples(Protocol):
    """What a model reads of materials (images, graphs), and in which batches."""

    def training_samples(self) -> tuple[Sequence[Any], Sequence[int]]:
        """The samples that the head is fitted to, and the index of each one's material."""

    def validation_samples(self) -> tuple[Sequence[Any], Sequence[int]]:
        """The samples that choose the epoch, and the index of each one's material."""

    def batches(self, samples: Sequence[Any]) -> LazySequence[Any]:
        """Inputs of samples, in their order."""

    def epoch_steps(self, epoch: int, shard: RankShard) -> LazySequence[Step]:
        """The steps of one epoch of training; they depend on its number alone."""


@dataclass(frozen=True)
class HeadFitConfig:
    """How the head is fitted before the backbone trains."""

    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    beta: float


@dataclass(frozen=True)
class TwoStageTrainer:
    """A model, its training and validation materials, and the processes that read them.

    Attributes:
        model: an ``nn.Module`` that is a Regressor.
        workers: processes that make batches ahead of time, for each process of the group.
        feature_cache: shares features with other trainings; without it they are discarded once the
            head is fitted.
    """

    model: Any
    samples: Samples
    target: TargetTransform
    train: Sequence[Material]
    val: Sequence[Material]
    device: torch.device
    seed: int
    group: ProcessGroup
    workers: int
    quiet: bool
    feature_cache: FeatureCache | None = None

    @property
    def unit(self) -> str:
        """That of the errors."""
        return self.train[0].quantity.unit

    def fit_head(
        self,
        fit_config: FitConfig,
        *,
        batch_size: int,
        callbacks: Callbacks = NO_CALLBACKS,
        checkpoints: Checkpoints | None = None,
        feature_checkpoints: Checkpoints | None = None,
        quiet: bool,
    ) -> list[EpochRecord]:
        """Fit the head alone; an epoch is every training sample, in batches of ``batch_size``.

        All processes compute the features, the main one fits, all get the result.

        Args:
            checkpoints: of the fit itself.
            feature_checkpoints: where the features are saved while they are computed.
        """
        samples, owners = self.samples.training_samples()
        if not self.quiet:
            print(f"Fitting the head on frozen features of {len(samples)} samples.", flush=True)
        name = f"features-{self.group.size}"  # each process saves those of its own shard
        partial_results = feature_checkpoints.partial_results(name) if feature_checkpoints else None
        features = self._features(samples, partial_results)
        self.model.standardise(features)
        targets = torch.tensor(
            self.target.encode([self.train[i].tc for i in owners]), dtype=torch.float32
        )
        ids = [self.train[i].id for i in owners]
        val_samples, val_owners = self.samples.validation_samples()
        val_features = self._features(val_samples, None)

        def steps(epoch: int, _shard: RankShard) -> LazySequence[Step]:
            order = shuffled(len(ids), batch_size, seed=self.seed, epoch=epoch)
            return LazySequence(partial(_head_step, features, targets, ids, order), len(order))

        def validate() -> dict[str, float]:
            with torch.no_grad():
                outputs = head(val_features.to(self.device)).float().cpu()
            return self._errors(val_owners, outputs)

        head, history = _HeadOnly(self.model), []
        if self.group.is_main:
            history = Trainer(
                head,
                steps,
                validate,
                fit_config,
                device=self.device,
                callbacks=callbacks,
                checkpoints=checkpoints,
                quiet=quiet,
                unit=self.unit,
            ).train()
        self.group.sync_parameters((*self.model.parameters(), *self.model.buffers()))
        return self.group.broadcast(history)

    def warm_start_head(
        self, config: HeadFitConfig, checkpoints: Checkpoints | None
    ) -> EpochRecord:
        """Fit the head before the backbone trains; returns the model then as epoch 0."""
        start = time.monotonic()
        fit_config = FitConfig(
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            beta=config.beta,
            patience=config.epochs,
        )
        history = self.fit_head(
            fit_config, batch_size=config.batch_size, feature_checkpoints=checkpoints, quiet=True
        )
        best = min(history, key=lambda record: record.val_mae)
        if not self.quiet:
            error = self.train[0].quantity.with_unit(f"{best.val_mae:.3f}")
            print(f"The head alone: validation MAE {error}.", flush=True)
        return replace(best, epoch=0, best=True, seconds=time.monotonic() - start)

    def fit_backbone(
        self,
        fit_config: FitConfig,
        *,
        initial: EpochRecord | None,
        callbacks: Callbacks,
        checkpoints: Checkpoints | None,
    ) -> list[EpochRecord]:
        """Train head and backbone together; ``initial`` is epoch 0, or None when resuming."""
        samples, owners = self.samples.validation_samples()
        shard = self.group.shard()
        estimate = estimate_memory(self.model, self.samples.epoch_steps, shard, self.device)
        free = free_memory_on(self.device)
        callbacks.note(estimate.message(free))
        if estimate.is_tight(free):
            limit_fragmentation()

        def validate() -> dict[str, float]:
            return self._errors(owners, self._outputs(self.model, samples, desc="validation"))

        return Trainer(
            self.model,
            self.samples.epoch_steps,
            validate,
            fit_config,
            device=self.device,
            callbacks=callbacks,
            initial=initial,
            checkpoints=checkpoints,
            group=self.group,
            workers=self.workers,
            accumulation_steps=estimate.accumulation_steps(free),
            quiet=self.quiet,
            unit=self.unit,
        ).train()

    def _features(
        self, samples: Sequence[Any], partial_results: PartialResults | None
    ) -> torch.Tensor:
        """Frozen features of samples, ``[n, f]``, from the feature cache where there is one."""

        def compute(partial_results: PartialResults | None) -> torch.Tensor:
            features = self.model.features
            return self._outputs(
                features, samples, desc="frozen features", partial_results=partial_results
            )

        if self.feature_cache:
            return self.feature_cache.get(samples, compute)
        return compute(partial_results)

    @torch.inference_mode()
    def _outputs(
        self,
        forward: Callable[[Any], torch.Tensor],
        samples: Sequence[Any],
        *,
        desc: str,
        partial_results: PartialResults | None = None,
    ) -> torch.Tensor:
        """Outputs of every sample in order, in bfloat16 where that is fast.

        Batches with ``partial_results`` are not computed again.
        """
        self.model.eval()
        batches = self.samples.batches(samples)
        outputs = partial_results.load() if partial_results else []
        own = range(self.group.rank, len(batches), self.group.size)[len(outputs) :]
        loaded = load(batches, own, device=self.device, workers=self.workers)
        bar = track(loaded, total=len(own), desc=desc, unit="batch", quiet=self.quiet)
        for inputs in bar:
            with autocast(self.device):
                output = forward(inputs.to(self.device, non_blocking=True))
            outputs.append(output.float().cpu())
            if partial_results:
                partial_results.add(outputs[-1])
        found = torch.cat(self.group.all_gather(outputs))
        if len(found) != len(samples):
            raise CheckpointError(
                f"There are {len(found)} outputs for {len(samples)} samples: the saved ones are of "
                "other batches. Start anew with resume=never."
            )
        return found

    def _errors(self, owners: Sequence[int], outputs: torch.Tensor) -> dict[str, float]:
        """Errors over the validation materials; a material's Tc is the mean over its samples."""
        kelvin = self.target.decode(outputs.numpy())
        tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
        return all_metrics(np.array([m.tc for m in self.val]), tc_pred)


class _HeadOnly(nn.Module):
    """The head as a model: features to targets."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model.regress(features)


def _head_step(
    features: torch.Tensor,
    targets: torch.Tensor,
    ids: Sequence[str],
    order: Sequence[Sequence[int]],
    index: int,
) -> Step:
    rows = order[index]
    return [(features[rows], targets[rows], [ids[i] for i in rows])]
