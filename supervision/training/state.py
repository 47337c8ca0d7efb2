"""What moves while a model trains, and how it is told to move."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from supervision.training.ema import ExponentialMovingAverage

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


@dataclass
class TrainState:
    """What moves while a model trains."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR | ReduceLROnPlateau
    average: ExponentialMovingAverage

    @classmethod
    def start(
        cls, model: nn.Module, config: FitConfig, steps: int, device: torch.device
    ) -> "TrainState":
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
        return cls(model, optimizer, schedule, ExponentialMovingAverage(model, config.average))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What trains."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def step(self, clip: float, samples: float) -> None:
        """Move by the mean over ``samples`` of the gradients, cut to the length ``clip``."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.div_(samples)
        nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        if isinstance(self.schedule, LambdaLR):
            self.schedule.step()
        self.average.update()

    def judged(self, mae: float) -> None:
        """An epoch is done, and this is its validation MAE."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(mae)

    def state(self) -> dict[str, Any]:
        """What ``load`` needs to go on exactly."""
        return {
            "model": trainable_state(self.model),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state`` gave.

        Raises KeyError, RuntimeError or ValueError where it is of another model.
        """
        load_trainable(self.model, state["model"])
        self.average.load(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def _groups(model: nn.Module, config: FitConfig) -> list[dict[str, Any]]:
    """What trains, in one group, or two where the head has a learning rate of its own."""
    moving = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not config.head_rate:
        return [{"params": [p for _, p in moving]}]
    body = [p for name, p in moving if not name.startswith(HEAD)]
    head = [p for name, p in moving if name.startswith(HEAD)]
    return [{"params": body}, {"params": head, "lr": config.head_rate}]


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
