"""What a training reports while it runs. Needs no torch: trees are trained without it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of the history: losses in target space, errors in kelvin, seconds.

    Attributes:
        epoch: 1, 2, ...; epoch 0 is the model before its backbone trains, which may be the best.
        best: whether its validation MAE is the lowest so far.
        accumulation_steps: into how many micro-batches its steps were cut to fit into memory.
    """

    epoch: int
    train_loss: float
    val_mae: float
    val_rmse: float
    val_r2: float
    learning_rate: float
    seconds: float
    best: bool
    accumulation_steps: int = 1

    @classmethod
    def of_single_fit(
        cls, train_loss: float, errors: Mapping[str, float], seconds: float
    ) -> "EpochRecord":
        """The only record of a model without epochs; ``errors`` are ``mae, rmse, r2`` on val."""
        mae, rmse, r2 = errors["mae"], errors["rmse"], errors["r2"]
        return cls(1, train_loss, mae, rmse, r2, learning_rate=0.0, seconds=seconds, best=True)

    def metrics(self) -> dict[str, float]:
        """The numbers under the names that are logged."""
        names = ("train_loss", "val_mae", "val_rmse", "val_r2", "learning_rate")
        found = {name: float(getattr(self, name)) for name in names}
        return found | {
            "epoch_seconds": self.seconds,
            "step_parts": float(self.accumulation_steps),
        }


@dataclass(frozen=True)
class Callbacks:
    """Functions that a training calls.

    Attributes:
        epoch: called with the record of every epoch, after it.
        note: called with sentences that belong into the run's notes.
    """

    epoch: Callable[[EpochRecord], None] = lambda record: None
    note: Callable[[str], None] = lambda text: None


NO_CALLBACKS = Callbacks()
