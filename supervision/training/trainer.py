"""The one gradient loop, behind every predictor that learns by gradients.

    history = Trainer(model, steps, validate, config, device=device).train()

Read it from top to bottom: ``train`` -> ``train_epoch`` -> ``train_step`` -> ``forward_backward``.
It knows batches ``(inputs, targets, ids)``, a model that maps inputs to ``[batch]`` numbers in
target space, and a function that validates in kelvin; it does not know what a crystal is.

A step is a list of micro-batches whose gradients are accumulated. A step that does not fit into
memory raises ``StepTooLarge`` and is retried in micro-batches half as large.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from supervision.runtime.device import autocast
from supervision.runtime.errors import one_line
from supervision.runtime.memory import StepMemoryMonitor, is_out_of_memory, limit_fragmentation
from supervision.runtime.rng import restore_rng_states
from supervision.runtime.signals import defer_signals
from supervision.training.batches import EpochSteps, Step, load
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import TRAIN_STATE, CheckpointError, Checkpoints
from supervision.training.config import FitConfig
from supervision.training.distributed import SINGLE_PROCESS, ProcessGroup
from supervision.training.loop_state import LoopState
from supervision.training.state import TrainState, load_trainable, trainable_state

LOOP_STATE = "loop_state"  # a key of checkpoints, beside TRAIN_STATE


class StepTooLarge(Exception):  # noqa: N818  not an error: the step is retried
    """A step that does not fit into memory in one of the processes; the message says why."""


@dataclass
class Trainer:
    """Trains the parameters that require gradients; leaves the model at its best epoch.

    Attributes:
        steps: epoch, shard -> the epoch's steps. They depend on these alone, so that a resumed run
            sees what an uninterrupted one would have seen.
        validate: errors on the validation materials as ``mae, rmse, r2`` in kelvin; the model has
            its averaged weights then.
        callbacks: called with every epoch (when resuming, with the earlier ones too), and with the
            reason why steps are cut.
        initial: epoch 0, the model before the first step, where it has been validated already.
        checkpoints: where the state is saved: every so many steps, after every epoch, and when an
            interrupt or an error ends the training. In a group, the main process's count.
        group: the processes that train together; all of them call ``train``.
        workers: processes that make batches ahead of time.
        accumulation_steps: into how many micro-batches steps are cut from the start.
        unit: of the errors.
    """

    model: nn.Module
    steps: EpochSteps
    validate: Callable[[], dict[str, float]]
    config: FitConfig
    device: torch.device
    callbacks: Callbacks = NO_CALLBACKS
    initial: EpochRecord | None = None
    checkpoints: Checkpoints | None = None
    group: ProcessGroup = SINGLE_PROCESS
    workers: int = 0
    accumulation_steps: int = 1
    quiet: bool = False
    unit: str = "K"
    state: TrainState = field(init=False)
    loop: LoopState = field(init=False)
    steps_per_epoch: int = field(init=False)
    monitor: StepMemoryMonitor = field(init=False, default_factory=StepMemoryMonitor)
    reason_to_split: str = field(init=False, default="")

    def train(self) -> list[EpochRecord]:
        """Train to the last epoch, or until ``patience`` epochs bring no gain; returns the history.

        Raises CheckpointError where the checkpoint does not fit the model, FloatingPointError
        where the loss is not finite, ValueError where an epoch has no steps.
        """
        self._start_or_resume()
        try:
            while not self._is_finished():
                reason = ""
                try:
                    self.train_epoch()
                except StepTooLarge as error:
                    reason = str(error)  # its frames hold tensors: they go before the next try
                if reason:
                    self._split_steps(reason)
                else:
                    self.validate_epoch()
        except BaseException:
            if self.checkpoints and self.loop.consistent:
                with defer_signals():  # torchrun sends a signal after another process's error
                    self._save()
            raise
        load_trainable(self.model, self.loop.best_state)
        self.model.eval()
        return self.loop.history

    def train_epoch(self) -> None:
        """Take the steps that are left of the current epoch. Raises StepTooLarge."""
        if not self.loop.step:
            self.loop.learning_rate = self.state.learning_rate
        steps = self.steps(self.loop.epoch, self.group.shard(self.loop.accumulation_steps))
        indices = range(self.loop.step, self.steps_per_epoch)
        bar = self._progress_bar(load(steps, indices, device=self.device, workers=self.workers))
        self.model.train()
        self.reason_to_split = self.monitor.check_before_steps()
        for step in bar:
            self.train_step(step)
            mean_loss = self.loop.loss_sum / self.loop.samples
            bar.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
        if not self.loop.samples:
            raise ValueError("An epoch has no steps: there is nothing to train on.")

    def train_step(self, step: Step) -> None:
        """One update of the weights by all processes. Raises StepTooLarge, in all of them."""
        start = time.monotonic()
        self.group.reseed(self.loop.epoch, self.loop.step)
        loss_sum, samples, reason = self.forward_backward(step)
        loss_sum, samples, stopped = self.group.all_reduce(
            self.state.parameters, (loss_sum, samples, float(bool(reason)))
        )
        if stopped:
            self.state.optimizer.zero_grad(set_to_none=True)
            restore_rng_states(self.loop.rng)
            raise StepTooLarge(reason or "another process of the group has no memory left")
        with self.loop.changing():
            self.state.step(self.config.clip, samples)
            self.loop.end_step(loss_sum, int(samples), time.monotonic() - start)
        if self.checkpoints and self.loop.step % self.checkpoints.save_every == 0:
            self._save()
        self.reason_to_split = self.monitor.check_after_step(time.monotonic() - start)

    def forward_backward(self, step: Step) -> tuple[float, float, str]:
        """Accumulate the gradients of a step's micro-batches.

        Returns the sum of the losses, the number of samples and, where the step does not fit into
        this process's memory, why. Steps of single samples cannot be cut: they are tried anyway.
        """
        is_smallest = all(len(targets) == 1 for _, targets, _ in step)
        if self.reason_to_split and not is_smallest:
            return 0.0, 0.0, self.reason_to_split
        try:
            return *accumulate_gradients(self.state, step, self.config.beta, self.device), ""
        except Exception as error:
            if is_smallest or not is_out_of_memory(error):
                raise
            return 0.0, 0.0, f"an allocation failed ({one_line(error)[:200]})"

    def validate_epoch(self) -> None:
        """Validate the averaged weights and end the epoch: save, report."""
        start = time.monotonic()
        self.group.sync_parameters(self.model.buffers())  # batch norm's, of each process's shard
        self.model.eval()
        with self.state.average.in_place():
            errors, weights = self.validate(), trainable_state(self.model)
        require_finite("validation MAE", errors["mae"])
        loop = self.loop
        record = EpochRecord(
            epoch=loop.epoch,
            train_loss=loop.loss_sum / loop.samples,
            val_mae=errors["mae"],
            val_rmse=errors["rmse"],
            val_r2=errors["r2"],
            learning_rate=loop.learning_rate,
            seconds=loop.seconds + time.monotonic() - start,
            best=errors["mae"] < min((r.val_mae for r in loop.history), default=math.inf),
            accumulation_steps=loop.accumulation_steps,
        )
        with loop.changing():
            loop.end_epoch(record, weights)
            self.state.end_epoch(record.val_mae)
        if self.checkpoints:
            self._save()
        self.callbacks.epoch(record)
        if not self.quiet:
            print(progress_line(loop.history, self.config.epochs, self.unit), flush=True)

    def _start_or_resume(self) -> None:
        self.group.sync_parameters((*self.model.parameters(), *self.model.buffers()))
        self.steps_per_epoch = len(self.steps(1, self.group.shard()))
        total = self.config.epochs * self.steps_per_epoch
        self.state = TrainState.create(self.model, self.config, total, self.device)
        has_state = self.checkpoints is not None and self.checkpoints.has_train_state
        if self.group.broadcast(has_state):
            self._restore()
        else:
            history = [self.initial] if self.initial else []
            weights = trainable_state(self.model)
            self.loop = LoopState(history, weights, accumulation_steps=self.accumulation_steps)
            if self.checkpoints:
                self.checkpoints.begin()
                self._save()  # includes the work before the first step
        for record in self.loop.history:
            self.callbacks.epoch(record)

    def _restore(self) -> None:
        """Continue from the newest checkpoint, which the main process reads."""
        saved = self.group.broadcast(self.checkpoints.load() if self.checkpoints else {})
        try:
            self.state.load(saved[TRAIN_STATE])
        except (KeyError, RuntimeError, ValueError) as error:
            where = self.checkpoints.last if self.checkpoints else "of the group"
            raise CheckpointError(
                f"The checkpoint {where} is of a model that other code built "
                f"({one_line(error)}); resume with that code, or start anew with resume=never."
            ) from error
        self.loop = LoopState.restore(saved[LOOP_STATE])
        self.loop.accumulation_steps = max(self.loop.accumulation_steps, self.accumulation_steps)
        if not self.quiet:
            message = f"Resuming epoch {self.loop.epoch} after {self.loop.step} steps."
            print(message, flush=True)

    def _is_finished(self) -> bool:
        return (
            self.loop.epoch > self.config.epochs
            or self.loop.epochs_without_gain >= self.config.patience
        )

    def _split_steps(self, reason: str) -> None:
        """Cut steps into micro-batches half as large from here on, without workers."""
        self.loop.accumulation_steps *= 2
        self.workers = 0
        self.monitor = StepMemoryMonitor(self.monitor.step_bytes // 2)
        limit_fragmentation()
        if self.checkpoints:
            self._save()
        parts = self.loop.accumulation_steps
        self.callbacks.note(f"Steps are cut into {parts} parts from here on: {reason}.")

    def _save(self) -> None:
        assert self.checkpoints is not None
        loop = self.loop
        is_best = not loop.step and (not loop.history or loop.history[-1].best)
        self.checkpoints.save(
            {TRAIN_STATE: self.state.state(), LOOP_STATE: loop.state()},
            best=loop.best_state if is_best else None,
        )

    def _progress_bar(self, steps: Iterable[Step]) -> "tqdm[Step]":
        """Shown on a terminal only."""
        return tqdm(
            steps,
            total=self.steps_per_epoch,
            initial=self.loop.step,
            desc=f"epoch {self.loop.epoch}/{self.config.epochs}",
            leave=False,
            disable=self.quiet or None,
            unit="step",
        )


def accumulate_gradients(
    state: TrainState, step: Step, beta: float, device: torch.device
) -> tuple[float, float]:
    """The gradients of the sum of a step's losses; returns that sum and the number of samples."""
    loss_sum, samples = 0.0, 0
    state.optimizer.zero_grad(set_to_none=True)
    for inputs, targets, _ids in step:
        loss = smooth_l1(
            state.model,
            inputs.to(device, non_blocking=True),
            targets.to(device, non_blocking=True),
            beta,
            device,
        )
        loss.backward()
        loss_sum, samples = loss_sum + loss.item(), samples + len(targets)
        require_finite("training loss", loss_sum)
    return loss_sum, samples


def smooth_l1(
    model: nn.Module, inputs: Any, targets: torch.Tensor, beta: float, device: torch.device
) -> torch.Tensor:
    """The sum of the samples' losses: squared below ``beta``, absolute above."""
    with autocast(device):
        predicted = model(inputs)  # [batch]
    if predicted.shape != targets.shape:
        raise ValueError(
            f"The model gave {tuple(predicted.shape)} for targets {tuple(targets.shape)}."
        )
    return nn.functional.smooth_l1_loss(predicted.float(), targets, beta=beta, reduction="sum")


def require_finite(what: str, value: float) -> None:
    """Raise FloatingPointError where a loss or an error is NaN or infinite."""
    if not math.isfinite(value):
        raise FloatingPointError(f"The {what} became {value}; a lower learning_rate may help.")


def progress_line(history: list[EpochRecord], epochs: int, unit: str = "K") -> str:
    """The newest epoch in one line, with the best so far and the time left.

    Args:
        unit: of the errors.
    """
    record = history[-1]
    best = min(history, key=lambda r: r.val_mae)
    trained = [r.seconds for r in history if r.epoch > 0]
    left = (epochs - record.epoch) * sum(trained) / len(trained)
    return (
        f"epoch {record.epoch:>3}/{epochs}  train loss {record.train_loss:.4f}  "
        f"val MAE {record.val_mae:.3f} {unit}  RMSE {record.val_rmse:.2f} {unit}  "
        f"R2 {record.val_r2:.3f}  "
        f"best {best.val_mae:.3f} {unit} (epoch {best.epoch})  "
        f"{_duration(record.seconds)} per epoch, {_duration(left)} left"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
