"""What a training says of itself as it goes: needs no torch, as trees are trained without."""

from collections.abc import Callable
from dataclasses import dataclass


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
    parts: int = 1  # into how many its steps were cut to fit into memory

    def metrics(self) -> dict[str, float]:
        """The numbers under the names that are logged."""
        names = ("train_loss", "val_mae", "val_rmse", "val_r2", "learning_rate")
        found = {name: float(getattr(self, name)) for name in names}
        return found | {"epoch_seconds": self.seconds, "step_parts": float(self.parts)}


@dataclass(frozen=True)
class Callbacks:
    """Who is told of every epoch as it ends, and what should be found again, in sentences."""

    epoch: Callable[[EpochRecord], None] = lambda record: None
    note: Callable[[str], None] = lambda text: None


NO_CALLBACKS = Callbacks()
