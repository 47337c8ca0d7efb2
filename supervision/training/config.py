"""How a model is trained by gradients. Needs no torch: command lines read it."""

import math
from dataclasses import dataclass

SCHEDULES = ("cosine", "plateau")


@dataclass(frozen=True)
class FitConfig:
    """How a model is trained by gradients.

    Attributes:
        learning_rate: the peak learning rate.
        head_rate: the learning rate of the head; 0: ``learning_rate``.
        schedule: ``cosine`` (linear warmup, then half a cosine to zero) or ``plateau`` (halved
            after ``plateau_patience`` epochs without gain).
        warmup: fraction of all steps.
        patience: epochs without gain after which the training ends.
        clip: largest norm of a step's gradient.
        beta: error at which the loss changes from squared to absolute, in target space.
        average: decay of the exponential moving average of the weights; 0: no average.

    Raises ValueError, naming the field, for a value out of range.
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
            raise ValueError(f"warmup is a fraction of all steps, 0 to 1, got {self.warmup}.")
        for name in ("patience", "plateau_patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
