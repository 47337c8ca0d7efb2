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
        single_fit: whether the model has no epochs, and so neither steps nor their losses.
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
    single_fit: bool = False

    @classmethod
    def of_single_fit(cls, errors: Mapping[str, float], seconds: float) -> "EpochRecord":
        """The only record of a model without epochs; ``errors`` are ``mae, rmse, r2`` on val."""
        mae, rmse, r2 = errors["mae"], errors["rmse"], errors["r2"]
        return cls(1, 0.0, mae, rmse, r2, 0.0, seconds, best=True, single_fit=True)

    def metrics(self) -> dict[str, float]:
        """The numbers under the names that are logged."""
        errors = {name: float(getattr(self, name)) for name in ("val_mae", "val_rmse", "val_r2")}
        if self.single_fit:
            return errors
        return errors | {
            "train_loss": float(self.train_loss),
            "learning_rate": float(self.learning_rate),
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
