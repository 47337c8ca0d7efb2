"""How a model is fitted, whatever it reads: its head first, on frozen features, then all of it.

A head on fresh weights sends a pretrained backbone astray in its first steps; one that already
fits the backbone's features does not. It costs seconds once the features are there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from supervision.data.crystals import Material
from supervision.evaluation.metrics import all_metrics
from supervision.runtime.device import autocast
from supervision.runtime.memory import limit_fragmentation
from supervision.training.batches import LazySequence, RankShard, Step, load, shuffled
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import CheckpointError, Checkpoints, PartialResults
from supervision.training.distributed import ProcessGroup
from supervision.training.feature_cache import FeatureCache
from supervision.training.memory_estimate import estimate_memory, free_memory_on
from supervision.training.state import FitConfig
from supervision.training.target import TargetTransform
from supervision.training.trainer import fit


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

    def batches(self, samples: Sequence[Any]) -> LazySequence[Any]:
        """Inputs of samples, in their order."""

    def epoch(self, number: int, share: RankShard) -> LazySequence[Step]:
        """The steps of one epoch of training, a matter of its number alone."""


@dataclass(frozen=True)
class HeadFitConfig:
    """How the head is fitted before the backbone moves."""

    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    beta: float


@dataclass(frozen=True)
class TwoStageTrainer:
    """A model, the materials that it learns from and is chosen by, and who reads them.

    ``workers`` are processes that make batches ahead of time, for each of the ``team``. ``frozen``
    keeps features for others of the same backbone; without, they are gone once the head is fitted.
    """

    model: Any  # an nn.Module that is a Regressor
    samples: Samples
    target: TargetTransform
    train: Sequence[Material]
    val: Sequence[Material]
    device: torch.device
    seed: int
    group: ProcessGroup
    workers: int
    quiet: bool
    frozen: FeatureCache | None = None

    def head(
        self,
        fit_config: FitConfig,
        *,
        batch_size: int,
        listener: Callbacks = NO_CALLBACKS,
        checkpoints: Checkpoints | None = None,
        keep: Checkpoints | None = None,
        quiet: bool,
    ) -> list[EpochRecord]:
        """Fit the head alone; an epoch is every training sample, in batches of ``batch_size``.

        ``checkpoints`` are of the fit itself, ``keep`` of the features that it needs first.
        All of the group work out the features, the first of them fits, all have what came of it.
        """
        samples, owners = self.samples.of_training()
        if not self.quiet:
            print(
                f"The head comes first, on frozen features of {len(samples)} samples.", flush=True
            )
        shelf = keep.shelf(f"features-{self.group.size}") if keep else None  # of its own share
        features = self._frozen(samples, shelf)
        self.model.standardise(features)
        targets = torch.tensor(
            self.target.encode([self.train[i].tc for i in owners]), dtype=torch.float32
        )
        ids = [self.train[i].id for i in owners]
        val_samples, val_owners = self.samples.of_validation()
        val_features = self._frozen(val_samples, None)

        def epoch(number: int, _share: RankShard) -> LazySequence[Step]:
            order = shuffled(len(ids), batch_size, seed=self.seed, epoch=number)
            return LazySequence(partial(_rows, features, targets, ids, order), len(order))

        def validate() -> dict[str, float]:
            with torch.no_grad():
                outputs = reader(val_features.to(self.device)).float().cpu()
            return self._errors(val_owners, outputs)

        reader, history = _HeadOnly(self.model), []
        if self.group.is_main:
            history = fit(
                reader,
                epoch,
                validate,
                fit_config,
                device=self.device,
                listener=listener,
                checkpoints=checkpoints,
                quiet=quiet,
            )
        self.group.sync_parameters((*self.model.parameters(), *self.model.buffers()))
        return self.group.broadcast(history)

    def start(self, how: HeadFitConfig, checkpoints: Checkpoints | None) -> EpochRecord:
        """Fit the head as a start for the backbone; returns that start as epoch 0."""
        began = time.monotonic()
        fit_config = FitConfig(
            epochs=how.epochs,
            learning_rate=how.learning_rate,
            weight_decay=how.weight_decay,
            beta=how.beta,
            patience=how.epochs,
        )
        history = self.head(fit_config, batch_size=how.batch_size, keep=checkpoints, quiet=True)
        best = min(history, key=lambda record: record.val_mae)
        if not self.quiet:
            print(f"The head alone: validation MAE {best.val_mae:.3f} K.", flush=True)
        return replace(best, epoch=0, best=True, seconds=time.monotonic() - began)

    def backbone(
        self,
        fit_config: FitConfig,
        *,
        before: EpochRecord | None,
        listener: Callbacks,
        checkpoints: Checkpoints | None,
    ) -> list[EpochRecord]:
        """Train head and backbone together."""
        samples, owners = self.samples.of_validation()
        need = estimate_memory(self.model, self.samples.epoch, self.group.share(), self.device)
        found = free_memory_on(self.device)
        listener.note(need.line(found))
        if need.tight(found):
            limit_fragmentation()
        return fit(
            self.model,
            self.samples.epoch,
            lambda: self._errors(owners, self._outputs(self.model, samples, desc="validation")),
            fit_config,
            device=self.device,
            listener=listener,
            before=before,
            checkpoints=checkpoints,
            group=self.group,
            workers=self.workers,
            parts=need.parts(found),
            quiet=self.quiet,
        )

    def _frozen(self, samples: Sequence[Any], shelf: PartialResults | None) -> torch.Tensor:
        """Features of samples, kept for others where there are such."""

        def make(shelf: PartialResults | None) -> torch.Tensor:
            read = self.model.features
            return self._outputs(read, samples, desc="frozen features", shelf=shelf)

        return self.frozen.of(samples, make) if self.frozen else make(shelf)

    @torch.inference_mode()
    def _outputs(
        self,
        read: Callable[[Any], torch.Tensor],
        samples: Sequence[Any],
        *,
        desc: str,
        shelf: PartialResults | None = None,
    ) -> torch.Tensor:
        """Outputs of every sample in order, in bfloat16 where that is fast.

        Those that lie on the ``shelf`` are not worked out again.
        """
        self.model.eval()
        batches = self.samples.batches(samples)
        outputs = shelf.load() if shelf else []
        own = range(self.group.rank, len(batches), self.group.size)[len(outputs) :]
        made = load(batches, own, device=self.device, workers=self.workers)
        quiet = self.quiet or None
        for inputs in tqdm(
            made, total=len(own), desc=desc, leave=False, disable=quiet, unit="batch"
        ):
            with autocast(self.device):
                output = read(inputs.to(self.device, non_blocking=True))
            outputs.append(output.float().cpu())
            if shelf:
                shelf.add(outputs[-1])
        found = torch.cat(self.group.all_gather(outputs))
        if len(found) != len(samples):
            raise CheckpointError(
                f"There are {len(found)} outputs for {len(samples)} samples: what was kept of them "
                "is of other batches. Start anew with resume=never."
            )
        return found

    def _errors(self, owners: Sequence[int], outputs: torch.Tensor) -> dict[str, float]:
        """Errors over validation materials, each the mean in kelvin of its samples."""
        kelvin = self.target.decode(outputs.numpy())
        tc_pred = np.bincount(owners, weights=kelvin) / np.bincount(owners)
        return all_metrics(np.array([m.tc for m in self.val]), tc_pred)


class _HeadOnly(nn.Module):
    """The half of a model that is fitted first: features to targets."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model.regress(features)


def _rows(
    features: torch.Tensor,
    targets: torch.Tensor,
    ids: Sequence[str],
    order: Sequence[Sequence[int]],
    place: int,
) -> Step:
    rows = order[place]
    return [(features[rows], targets[rows], [ids[i] for i in rows])]
