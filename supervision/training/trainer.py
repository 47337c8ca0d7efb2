"""fit(): the one gradient loop, behind every predictor that learns by gradients.

It knows batches ``(inputs, targets, ids)``, a model that maps inputs to ``[batch]`` numbers in
target space, and a function that validates in kelvin; it does not know what a crystal is. A step
is a list of batches whose gradients are added up: what does not fit into memory at once, or is
read by several processes.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from supervision.runtime.device import autocast
from supervision.runtime.errors import one_line
from supervision.runtime.memory import StepMemoryMonitor, is_out_of_memory, limit_fragmentation
from supervision.runtime.rng import restore_rng_states, rng_states
from supervision.runtime.signals import defer_signals
from supervision.training.batches import Epochs, Step, load
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import CheckpointError, Checkpoints
from supervision.training.distributed import SINGLE_PROCESS, ProcessGroup
from supervision.training.state import FitConfig, TrainState, load_trainable, trainable_state


@dataclass
class LoopState:
    """How far a training has come; with its descent, all that going on exactly needs.

    Attributes:
        best_state: the weights of the best epoch so far.
        step: how many steps of the epoch under way are done.
        loss: the sum of their samples' losses.
        samples: how many these are.
        seconds: what the epoch under way has taken so far.
        rate: the learning rate that it began with.
        parts: into how many a step is cut, beyond what the model asks for.
        rng: the random numbers' states after the last step.
        whole: False while a step or an epoch is half written down.
    """

    history: list[EpochRecord]
    best_state: dict[str, torch.Tensor]
    step: int = 0
    loss: float = 0.0
    samples: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    parts: int = 1
    rng: dict[str, Any] = field(default_factory=rng_states)
    whole: bool = True

    @property
    def epoch(self) -> int:
        """The epoch under way."""
        return _last_epoch(self.history) + 1

    @contextmanager
    def changing(self) -> Iterator[None]:
        """What is done within belongs together: a signal waits until it is done."""
        with defer_signals():
            self.whole = False
            yield
            self.whole = True

    def state(self) -> dict[str, Any]:
        """What ``of`` needs."""
        kept = {name: value for name, value in vars(self).items() if name != "whole"}
        return kept | {"history": [vars(record) for record in self.history]}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "LoopState":
        """What ``state`` gave; the random numbers go on from there."""
        names = [field.name for field in fields(cls) if field.name != "whole"]
        history = [EpochRecord(**record) for record in state["history"]]
        restore_rng_states(state["rng"])
        return cls(**{name: state[name] for name in names} | {"history": history})

    def stepped(self, loss: float, samples: int, seconds: float) -> None:
        """A step of the epoch under way is done."""
        self.step += 1
        self.loss += loss
        self.samples += samples
        self.seconds += seconds
        self.rng = rng_states()

    def ended(self, record: EpochRecord, state: dict[str, torch.Tensor]) -> None:
        """The epoch under way is done, and this is what came of it."""
        self.history.append(record)
        if record.best:
            self.best_state = state
        self.step, self.loss, self.samples, self.seconds = 0, 0.0, 0, 0.0
        self.rng = rng_states()


def fit(
    model: nn.Module,
    epochs: Epochs,
    validate: Callable[[], dict[str, float]],
    config: FitConfig,
    *,
    device: torch.device,
    listener: Callbacks = NO_CALLBACKS,
    before: EpochRecord | None = None,
    checkpoints: Checkpoints | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    workers: int = 0,
    parts: int = 1,
    quiet: bool = False,
) -> list[EpochRecord]:
    """Train the parameters that require gradients; leave the model at its best epoch.

    Args:
        epochs: number and share of an epoch -> its steps, a matter of these alone, so that a
            resumed run sees what an defer_signals one would have seen.
        validate: errors on the validation materials as ``mae, rmse, r2`` in kelvin; the model has
            its averaged weights then.
        listener: told of every epoch (of earlier ones too, when resuming), and why steps are cut.
        before: epoch 0, the model as it comes, where it has been validated already.
        checkpoints: where the state is kept: every so many steps, after every epoch, and before
            an interrupt or an error goes its way; of a group, the first one's matter.
        group: the processes that train together; all of them call this.
        workers: processes that make batches ahead of time.
        parts: into how many parts steps are cut from the start.

    Where memory runs out, or the system swaps, the state is kept, steps are cut into parts half as
    large, whose gradients are added up as before, and the training goes on without workers.

    Returns the history. Raises CheckpointError when a resume is asked for and not possible, and
    FloatingPointError when the loss is not finite.
    """
    group.sync_parameters((*model.parameters(), *model.buffers()))
    count = len(epochs(1, group.share()))
    descent = TrainState.start(model, config, config.epochs * count, device)
    progress = LoopState([before] if before else [], trainable_state(model), parts=parts)
    if group.broadcast(checkpoints is not None and checkpoints.descending):
        progress = _restore(descent, checkpoints, group)
        progress.parts = max(progress.parts, parts)
        if not quiet:
            print(f"Going on in epoch {progress.epoch} after {progress.step} steps.", flush=True)
    elif checkpoints:
        checkpoints.begin()
        _keep(descent, progress, checkpoints)  # what came before the first step, too
    for record in progress.history:
        listener.epoch(record)
    watch = StepMemoryMonitor()
    try:
        while progress.epoch <= config.epochs and _stale(progress.history) < config.patience:
            if not progress.step:
                progress.rate = float(descent.optimizer.param_groups[0]["lr"])
            steps = epochs(progress.epoch, group.share(progress.parts))
            left = load(steps, range(progress.step, count), device=device, workers=workers)
            bar = _bar(left, progress, count, config.epochs, quiet)
            why = train_epoch(descent, progress, bar, config, device, checkpoints, group, watch)
            if why:
                progress.parts, workers, watch = (
                    2 * progress.parts,
                    0,
                    StepMemoryMonitor(watch.takes // 2),
                )
                limit_fragmentation()
                if checkpoints:
                    _keep(descent, progress, checkpoints)
                listener.note(f"Steps are cut into {progress.parts} parts from here on: {why}.")
                continue
            group.sync_parameters(model.buffers())  # what batch norm has seen of its share
            record = _judge(descent, progress, validate)
            if checkpoints:
                _keep(descent, progress, checkpoints)
            listener.epoch(record)
            if not quiet:
                print(progress_line(progress.history, config.epochs), flush=True)
    except BaseException:
        if checkpoints and progress.whole:
            with defer_signals():  # torchrun sends a signal after another process's error
                _keep(descent, progress, checkpoints)
        raise
    load_trainable(model, progress.best_state)
    model.eval()
    return progress.history


def _bar(
    left: Iterable[Step], progress: LoopState, count: int, epochs: int, quiet: bool
) -> "tqdm[Step]":
    """The steps that are left of the epoch under way, counted where a user looks on."""
    return tqdm(
        left,
        total=count,
        initial=progress.step,
        desc=f"epoch {progress.epoch}/{epochs}",
        leave=False,
        disable=quiet or None,
        unit="step",
    )


def train_epoch(
    descent: TrainState,
    progress: LoopState,
    bar: "tqdm[Step]",
    config: FitConfig,
    device: torch.device,
    checkpoints: Checkpoints | None,
    group: ProcessGroup,
    watch: StepMemoryMonitor,
) -> str:
    """The steps that are left of the epoch under way, or why they must be cut smaller."""
    descent.model.train()
    why = watch.begin()
    for step in bar:
        start = time.monotonic()
        group.reseed(progress.epoch, progress.step)
        smallest = all(len(targets) == 1 for _, targets, _ in step)
        if smallest:
            why = ""
        found = (0.0, 0)
        try:
            if not why:
                found = gradients(descent, step, config, device)
        except Exception as error:
            if smallest or not is_out_of_memory(error):
                raise
            why = f"an allocation failed ({one_line(error)[:200]})"
        loss, samples, stopped = group.all_reduce(descent.parameters, (*found, float(bool(why))))
        if stopped:
            descent.optimizer.zero_grad(set_to_none=True)
            restore_rng_states(progress.rng)
            return why or "another process of the team has no memory left"
        with progress.changing():
            descent.step(config.clip, samples)
            progress.stepped(loss, int(samples), time.monotonic() - start)
        bar.set_postfix(loss=f"{progress.loss / progress.samples:.4f}", refresh=False)
        if checkpoints and progress.step % checkpoints.every == 0:
            _keep(descent, progress, checkpoints)
        why = watch.too_much(time.monotonic() - start)
    if not progress.samples:
        raise ValueError("An epoch has no steps: there is nothing to train on.")
    return ""


def gradients(
    descent: TrainState, step: Step, config: FitConfig, device: torch.device
) -> tuple[float, int]:
    """The gradients of the sum of a step's losses; returns that, and of how many samples it is."""
    loss_sum, samples = 0.0, 0
    descent.optimizer.zero_grad(set_to_none=True)
    for inputs, targets, _ids in step:
        loss = _loss(
            descent.model,
            inputs.to(device, non_blocking=True),
            targets.to(device, non_blocking=True),
            config,
            device,
        )
        loss.backward()
        loss_sum, samples = loss_sum + loss.item(), samples + len(targets)
        _require_finite("training loss", loss_sum)
    return loss_sum, samples


def _judge(
    descent: TrainState, progress: LoopState, validate: Callable[[], dict[str, float]]
) -> EpochRecord:
    """Validate the averaged weights; the epoch under way is done then."""
    start = time.monotonic()
    descent.model.eval()
    with descent.average.in_place():
        errors, state = validate(), trainable_state(descent.model)
    _require_finite("validation MAE", errors["mae"])
    record = EpochRecord(
        epoch=progress.epoch,
        train_loss=progress.loss / progress.samples,
        val_mae=errors["mae"],
        val_rmse=errors["rmse"],
        val_r2=errors["r2"],
        learning_rate=progress.rate,
        seconds=progress.seconds + time.monotonic() - start,
        best=errors["mae"] < min((r.val_mae for r in progress.history), default=math.inf),
        parts=progress.parts,
    )
    with progress.changing():
        progress.ended(record, state)
        descent.judged(record.val_mae)
    return record


def _loss(
    model: nn.Module, inputs: Any, targets: torch.Tensor, config: FitConfig, device: torch.device
) -> torch.Tensor:
    """The sum of the samples' losses."""
    with autocast(device):
        predicted = model(inputs)  # [batch]
    if predicted.shape != targets.shape:
        raise ValueError(
            f"The model gave {tuple(predicted.shape)} for targets {tuple(targets.shape)}."
        )
    return nn.functional.smooth_l1_loss(
        predicted.float(), targets, beta=config.beta, reduction="sum"
    )


def _require_finite(what: str, value: float) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(f"The {what} became {value}; a lower learning_rate may help.")


def _stale(history: list[EpochRecord]) -> int:
    """Epochs since the best one."""
    best = max((r.epoch for r in history if r.best), default=0)
    return _last_epoch(history) - best


def _last_epoch(history: list[EpochRecord]) -> int:
    return history[-1].epoch if history else 0


def progress_line(history: list[EpochRecord], epochs: int) -> str:
    """The newest epoch in one line, with the best so far and the time left."""
    record = history[-1]
    best = min(history, key=lambda r: r.val_mae)
    trained = [r.seconds for r in history if r.epoch > 0]
    left = (epochs - record.epoch) * sum(trained) / len(trained)
    return (
        f"epoch {record.epoch:>3}/{epochs}  train loss {record.train_loss:.4f}  "
        f"val MAE {record.val_mae:.3f} K  RMSE {record.val_rmse:.2f} K  R2 {record.val_r2:.3f}  "
        f"best {best.val_mae:.3f} K (epoch {best.epoch})  "
        f"{_clock(record.seconds)} an epoch, {_clock(left)} left"
    )


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _keep(descent: TrainState, progress: LoopState, checkpoints: Checkpoints) -> None:
    """Write everything down."""
    best = not progress.step and (not progress.history or progress.history[-1].best)
    checkpoints.save(
        {"descent": descent.state(), "progress": progress.state()},
        best=progress.best_state if best else None,
    )


def _restore(
    descent: TrainState, checkpoints: Checkpoints | None, group: ProcessGroup
) -> LoopState:
    """Go on from the newest checkpoint, which the first of the group reads."""
    state = group.broadcast(checkpoints.load() if checkpoints else {})
    try:
        descent.load(state["descent"])
    except (KeyError, RuntimeError, ValueError) as error:
        where = checkpoints.last if checkpoints else "of the team"
        raise CheckpointError(
            f"The checkpoint {where} is of a model that other code built "
            f"({one_line(error)}); go on with that code, or start anew."
        ) from error
    return LoopState.of(state["progress"])
