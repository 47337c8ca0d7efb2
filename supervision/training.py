"""fit(): the one gradient loop, behind every predictor that learns by gradients.

It knows batches ``(inputs, targets, ids)``, a model that maps inputs to ``[batch]`` numbers in
target space, and a function that validates in kelvin; it does not know what a crystal is. A step
is a list of batches whose gradients are added up: what does not fit into memory at once.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from tqdm.auto import tqdm

from supervision.averaging import WeightAverage
from supervision.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from supervision.errors import one_line
from supervision.resources import autocast

Batch = tuple[Any, torch.Tensor, list[str]]
Step = Sequence[Batch]
FUSED = ("cpu", "cuda")  # where AdamW is one kernel
SCHEDULES = ("cosine", "plateau")
HEAD = "head."  # how the names of a head's parameters begin


@dataclass(frozen=True)
class FitConfig:
    """How to descend.

    ``learning_rate`` is the peak, ``head_rate`` that of the head where it has one of its own (0: it
    has not). ``schedule`` is ``cosine`` (warmup, then down to zero) or ``plateau`` (halved after
    ``plateau_patience`` epochs without gain). ``patience`` counts epochs without gain, ``beta`` is
    where the loss turns from squared to absolute, ``average`` the decay of the mean of the weights
    (0: none).
    """

    epochs: int = 50
    learning_rate: float = 1e-4
    head_rate: float = 0.0
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.03
    plateau_patience: int = 5
    patience: int = 10
    clip: float = 1.0
    beta: float = 0.1
    average: float = 0.998

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be 1 or more, got {self.epochs}.")
        for name in ("learning_rate", "clip", "beta"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}.")
        for name in ("head_rate", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule '{self.schedule}' is not one of {', '.join(SCHEDULES)}.")
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be in [0, 1), got {self.average}.")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of all steps, 0 to 1, got {self.warmup}.")
        for name in ("patience", "plateau_patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")


@dataclass(frozen=True)
class EpochRecord:
    """One line of the history: losses in target space, errors in kelvin, seconds.

    Epoch 0, where there is one, is what the model was before: it competes for the best like any.
    """

    epoch: int
    train_loss: float
    val_mae: float
    val_rmse: float
    val_r2: float
    learning_rate: float
    seconds: float
    best: bool

    def metrics(self) -> dict[str, float]:
        """The numbers under the names that are logged."""
        names = ("train_loss", "val_mae", "val_rmse", "val_r2", "learning_rate")
        return {name: getattr(self, name) for name in names} | {"epoch_seconds": self.seconds}


@dataclass
class Checkpoints:
    """Where ``last.pt`` and ``best.pt`` go, and what must be equal for a resume to be allowed.

    Raises CheckpointError for a new training in a folder that holds another one's, and for a
    resume of one that is missing, damaged or of another training.
    """

    folder: Path
    identity: Mapping[str, str] = field(default_factory=dict)
    resume: bool = False

    def __post_init__(self) -> None:
        if self.resume:
            self.load()  # before hours are spent on what comes first
        elif self.last.is_file():
            raise CheckpointError(
                f"{self.folder} holds the checkpoints of a training; carry it on with "
                f"resume={self.folder}, or name another checkpoint_dir."
            )

    @property
    def last(self) -> Path:
        """The newest epoch, with all that going on needs."""
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        """The best epoch's weights."""
        return self.folder / "best.pt"

    def load(self) -> dict[str, Any]:
        """What ``last.pt`` holds. Raises CheckpointError where this training cannot go on."""
        return load_checkpoint(self.last, identity=self.identity)


@dataclass
class Descent:
    """What moves while a model trains."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR | ReduceLROnPlateau
    average: WeightAverage

    @classmethod
    def start(
        cls, model: nn.Module, config: FitConfig, steps: int, device: torch.device
    ) -> "Descent":
        optimizer = torch.optim.AdamW(
            _groups(model, config),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device.type in FUSED,
        )
        schedule: LambdaLR | ReduceLROnPlateau
        if config.schedule == "cosine":
            schedule = LambdaLR(optimizer, cosine_with_warmup(steps, config.warmup))
        else:
            schedule = ReduceLROnPlateau(
                optimizer, factor=0.5, patience=config.plateau_patience, threshold=0.0
            )
        return cls(model, optimizer, schedule, WeightAverage(model, config.average))

    def stepped(self) -> None:
        """A step of the optimizer is done."""
        if isinstance(self.schedule, LambdaLR):
            self.schedule.step()
        self.average.update()

    def judged(self, mae: float) -> None:
        """An epoch is done, and this is its validation MAE."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(mae)


def _groups(model: nn.Module, config: FitConfig) -> list[dict[str, Any]]:
    """What trains, in one group, or two where the head has a learning rate of its own."""
    moving = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not config.head_rate:
        return [{"params": [p for _, p in moving]}]
    body = [p for name, p in moving if not name.startswith(HEAD)]
    head = [p for name, p in moving if name.startswith(HEAD)]
    return [{"params": body}, {"params": head, "lr": config.head_rate}]


def fit(
    model: nn.Module,
    steps: Callable[[int], Iterable[Step]],
    validate: Callable[[], dict[str, float]],
    config: FitConfig,
    *,
    steps_per_epoch: int,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    before: EpochRecord | None = None,
    checkpoints: Checkpoints | None = None,
    quiet: bool = False,
) -> list[EpochRecord]:
    """Train the parameters that require gradients; leave the model at its best epoch.

    Args:
        steps: epoch number -> the steps of that epoch, a function of the number alone, so that
            a resumed run sees what an uninterrupted one would have seen.
        validate: errors on the validation materials as ``mae, rmse, r2`` in kelvin; the model has
            its averaged weights then.
        on_epoch: told of every epoch as it ends (of earlier ones too, when resuming).
        before: epoch 0, the model as it comes, where it has been validated already.

    Returns the history. Raises CheckpointError when a resume is asked for and not possible, and
    FloatingPointError when the loss is not finite.
    """
    descent = Descent.start(model, config, config.epochs * steps_per_epoch, device)
    history = [before] if before else []
    best_state = trainable_state(model)
    if checkpoints and checkpoints.resume:
        history, best_state = _restore(descent, checkpoints)
    for record in history:
        on_epoch(record)
    for epoch in range(_last_epoch(history) + 1, config.epochs + 1):
        if _stale(history) >= config.patience:
            break
        start = time.monotonic()
        rate = float(descent.optimizer.param_groups[0]["lr"])
        bar = tqdm(
            steps(epoch),
            total=steps_per_epoch,
            desc=f"epoch {epoch}/{config.epochs}",
            leave=False,
            disable=quiet or None,
            unit="step",
        )
        loss = train_epoch(descent, bar, config, device)
        model.eval()
        with descent.average.in_place():
            errors, state = validate(), trainable_state(model)
        _require_finite("validation MAE", errors["mae"])
        record = EpochRecord(
            epoch=epoch,
            train_loss=loss,
            val_mae=errors["mae"],
            val_rmse=errors["rmse"],
            val_r2=errors["r2"],
            learning_rate=rate,
            seconds=time.monotonic() - start,
            best=errors["mae"] < min((r.val_mae for r in history), default=math.inf),
        )
        history.append(record)
        descent.judged(record.val_mae)
        if record.best:
            best_state = state
        if checkpoints:
            _save(descent, history, best_state, checkpoints)
        on_epoch(record)
        if not quiet:
            print(progress_line(history, config.epochs), flush=True)
    load_trainable(model, best_state)
    model.eval()
    return history


def train_epoch(
    descent: Descent, bar: "tqdm[Step]", config: FitConfig, device: torch.device
) -> float:
    """One pass over the steps; returns the mean loss over samples."""
    model, optimizer = descent.model.train(), descent.optimizer
    total, count = 0.0, 0
    for step in bar:
        size = sum(len(targets) for _, targets, _ in step)
        optimizer.zero_grad(set_to_none=True)
        for inputs, targets, _ids in step:
            loss = _loss(model, inputs.to(device), targets.to(device), config, device)
            (loss / size).backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], config.clip
        )
        optimizer.step()
        descent.stepped()
        count += size
        bar.set_postfix(loss=f"{total / count:.4f}", refresh=False)
    if not count:
        raise ValueError("An epoch has no steps: there is nothing to train on.")
    return total / count


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
    loss = nn.functional.smooth_l1_loss(
        predicted.float(), targets, beta=config.beta, reduction="sum"
    )
    _require_finite("training loss", loss.item())
    return loss


def _require_finite(what: str, value: float) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(f"The {what} became {value}; a lower learning_rate may help.")


def cosine_with_warmup(steps: int, warmup: float) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: linear up, then half a cosine down to zero."""
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return factor


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all parameters that train and of all buffers, on the CPU."""
    found: dict[str, torch.Tensor] = dict(model.named_buffers())
    found |= {n: p for n, p in model.named_parameters() if p.requires_grad}
    return {name: tensor.detach().cpu().clone() for name, tensor in found.items()}


def load_trainable(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put back what trainable_state took; raises KeyError or ValueError where they do not fit."""
    own: dict[str, torch.Tensor] = dict(model.named_buffers())
    own |= dict(model.named_parameters())
    expected = set(trainable_state(model))
    if expected != set(state):
        raise KeyError(f"state and model differ in {sorted(expected ^ set(state))[:3]}")
    for name, tensor in state.items():  # copy_ would spread a smaller one over a larger
        if own[name].shape != tensor.shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} there, {tuple(own[name].shape)} here"
            )
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


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


def _save(
    descent: Descent,
    history: list[EpochRecord],
    best_state: dict[str, torch.Tensor],
    checkpoints: Checkpoints,
) -> None:
    state = {
        "identity": dict(checkpoints.identity),
        "history": [vars(record) for record in history],
    }
    if history[-1].best or not checkpoints.best.is_file():  # the best may be epoch 0
        save_checkpoint(checkpoints.best, state | {"model": best_state})
    training = {
        "model": trainable_state(descent.model),
        "average": descent.average.state(),
        "best_model": best_state,
        "optimizer": descent.optimizer.state_dict(),
        "schedule": descent.schedule.state_dict(),
        "rng": _rng_state(),
    }
    save_checkpoint(checkpoints.last, state | training)


def _restore(
    descent: Descent, checkpoints: Checkpoints
) -> tuple[list[EpochRecord], dict[str, torch.Tensor]]:
    """Go on from the last checkpoint; returns the history and the best state so far."""
    state = checkpoints.load()
    try:
        load_trainable(descent.model, state["model"])
        descent.average.load(state["average"])
        descent.optimizer.load_state_dict(state["optimizer"])
        descent.schedule.load_state_dict(state["schedule"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {checkpoints.last} is of a model that other code built "
            f"({one_line(error)}); go on with that code, or start anew."
        ) from error
    _set_rng_state(state["rng"])
    return [EpochRecord(**record) for record in state["history"]], state["best_model"]


def _rng_state() -> list[torch.Tensor]:
    """States of the CPU's generator and of every CUDA device's: dropout draws from them."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def _set_rng_state(states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) - 1 == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states[1:])


def iterate(count: int, batch_size: int, *, seed: int, epoch: int) -> Iterator[list[int]]:
    """Indices of one epoch's batches in an order that depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).tolist()
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]
