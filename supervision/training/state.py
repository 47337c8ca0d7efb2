"""The state of a training: model, optimizer, learning-rate schedule and averaged weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from supervision.training.config import FitConfig
from supervision.training.ema import ExponentialMovingAverage

FUSED_DEVICES = ("cpu", "cuda")  # where AdamW is one kernel
HEAD_PREFIX = "head."  # of the names of a head's parameters


@dataclass
class TrainState:
    """Everything that a step changes, but for the random numbers."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR | ReduceLROnPlateau
    average: ExponentialMovingAverage

    @classmethod
    def create(
        cls, model: nn.Module, config: FitConfig, total_steps: int, device: torch.device
    ) -> "TrainState":
        """The state before the first step: AdamW on the parameters that require gradients."""
        optimizer = torch.optim.AdamW(
            _parameter_groups(model, config),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device.type in FUSED_DEVICES,
        )
        schedule: LambdaLR | ReduceLROnPlateau
        if config.schedule == "cosine":
            schedule = LambdaLR(optimizer, cosine_with_warmup(total_steps, config.warmup))
        else:
            schedule = ReduceLROnPlateau(
                optimizer, factor=0.5, patience=config.plateau_patience, threshold=0.0
            )
        return cls(model, optimizer, schedule, ExponentialMovingAverage(model, config.average))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that train."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    @property
    def learning_rate(self) -> float:
        """That of the first parameter group, now."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self, clip: float, samples: float) -> None:
        """Take a step by the mean gradient over ``samples``, its norm clipped to ``clip``."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.div_(samples)
        nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        if isinstance(self.schedule, LambdaLR):
            self.schedule.step()
        self.average.update()

    def end_epoch(self, val_mae: float) -> None:
        """Adapt the learning rate to an epoch's validation MAE (``schedule=plateau``)."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(val_mae)

    def state(self) -> dict[str, Any]:
        """What ``load`` needs to continue exactly."""
        return {
            "model": trainable_state(self.model),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state`` returned.

        Raises KeyError, RuntimeError or ValueError where it belongs to another model.
        """
        load_trainable(self.model, state["model"])
        self.average.load(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def _parameter_groups(model: nn.Module, config: FitConfig) -> list[dict[str, Any]]:
    """One group, or two where the head has a learning rate of its own."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not config.head_rate:
        return [{"params": [p for _, p in trained]}]
    backbone = [p for name, p in trained if not name.startswith(HEAD_PREFIX)]
    head = [p for name, p in trained if name.startswith(HEAD_PREFIX)]
    return [{"params": backbone}, {"params": head, "lr": config.head_rate}]


def cosine_with_warmup(steps: int, warmup: float) -> Callable[[int], float]:
    """Step -> factor of the peak learning rate: linear up, then half a cosine down to zero."""
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
    """Restore what ``trainable_state`` returned; KeyError or ValueError where it does not fit."""
    own: dict[str, torch.Tensor] = dict(model.named_buffers())
    own |= dict(model.named_parameters())
    expected = set(trainable_state(model))
    if expected != set(state):
        raise KeyError(f"state and model differ in {sorted(expected ^ set(state))[:3]}")
    for name, tensor in state.items():  # copy_ would broadcast a smaller tensor
        if own[name].shape != tensor.shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} there, {tuple(own[name].shape)} here"
            )
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)
