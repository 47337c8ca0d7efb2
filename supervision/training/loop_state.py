"""How far a training has come; with its train state, all that an exact resume needs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from supervision.runtime.rng import restore_rng_states, rng_states
from supervision.runtime.signals import defer_signals
from supervision.training.callbacks import EpochRecord


@dataclass
class LoopState:
    """The position of the loop.

    Attributes:
        best_state: the weights of the best epoch so far.
        step: steps done of the current epoch.
        loss_sum: the sum of their samples' losses.
        samples: the number of these samples.
        seconds: duration of the current epoch so far.
        learning_rate: that at the start of the current epoch.
        accumulation_steps: into how many micro-batches a step is cut, beyond what the model needs.
        rng: states of the random number generators after the last step.
        consistent: False while a step or an epoch is half recorded.
    """

    history: list[EpochRecord]
    best_state: dict[str, torch.Tensor]
    step: int = 0
    loss_sum: float = 0.0
    samples: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0
    accumulation_steps: int = 1
    rng: dict[str, Any] = field(default_factory=rng_states)
    consistent: bool = True

    @property
    def epoch(self) -> int:
        """The current epoch, from 1."""
        return self._last_epoch + 1

    @property
    def epochs_without_gain(self) -> int:
        """Epochs since the best one."""
        return self._last_epoch - max((r.epoch for r in self.history if r.best), default=0)

    @property
    def _last_epoch(self) -> int:
        return self.history[-1].epoch if self.history else 0

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make several changes as one: a signal waits until the end of the block."""
        with defer_signals():
            self.consistent = False
            yield
            self.consistent = True

    def end_step(self, loss_sum: float, samples: int, seconds: float) -> None:
        """Record a step."""
        self.step += 1
        self.loss_sum += loss_sum
        self.samples += samples
        self.seconds += seconds
        self.rng = rng_states()

    def end_epoch(self, record: EpochRecord, weights: dict[str, torch.Tensor]) -> None:
        """Record the current epoch and the weights that it ended with."""
        self.history.append(record)
        if record.best:
            self.best_state = weights
        self.step, self.loss_sum, self.samples, self.seconds = 0, 0.0, 0, 0.0
        self.rng = rng_states()

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs."""
        saved = {name: value for name, value in vars(self).items() if name != "consistent"}
        return saved | {"history": [vars(record) for record in self.history]}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "LoopState":
        """What ``state`` returned; also restores the random number generators."""
        names = [field.name for field in fields(cls) if field.name != "consistent"]
        history = [EpochRecord(**record) for record in state["history"]]
        restore_rng_states(state["rng"])
        return cls(**{name: state[name] for name in names} | {"history": history})
