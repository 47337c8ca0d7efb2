"""Everything that shapes a graph model and its training."""

from dataclasses import dataclass

from supervision.runtime.options import option
from supervision.training.config import FitConfig
from supervision.training.target import TARGET_HELP, TargetTransform

ADAPTATIONS = ("full", "linear")
BACKENDS = ("pure", "dgl")
COUNTS = ("batch_size", "angle_budget", "head_epochs", "head_batch_size")


@dataclass(frozen=True)
class GraphConfig:
    """Everything that shapes a graph model, besides the data and the pretrained weights.

    Attributes:
        backend: ``pure`` (PyTorch, on folded graphs) or ``dgl`` (alignn's own layers).
        angle_budget: a step with more angles is read in several micro-batches.
        head_epochs, head_learning_rate, head_batch_size: how the head is fitted to standardised
            frozen features before the backbone trains.

    Raises ValueError, naming the field, for a value out of range.
    """

    batch_size: int = option(32, "materials per step")
    adapt: str = option("full", "full, or linear (head only)")
    backend: str = option("pure", "pure, or dgl (alignn's own layers; slow)")
    trained_layers: int = option(0, "number of last ALIGNN layers that train; 0: all")
    neighbours: int = option(0, "neighbours per atom; 0: as for the pretrained weights")
    angle_budget: int = option(40_000, "angles in memory at once")
    target: str = option("sqrt", TARGET_HELP)
    dropout: float = 0.1
    head_epochs: int = 60
    head_learning_rate: float = 1e-3
    head_batch_size: int = 64
    seed: int = 42

    def __post_init__(self) -> None:
        for name, known in (("adapt", ADAPTATIONS), ("backend", BACKENDS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} '{getattr(self, name)}' is not one of {', '.join(known)}."
                )
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        for name in ("trained_layers", "neighbours"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")
        TargetTransform(self.target)


@dataclass(frozen=True)
class GraphFitConfig(FitConfig):
    """How a graph model is trained."""

    epochs: int = option(200, "epochs of training", when={"dataset=classics": 40})
    learning_rate: float = option(1e-5, "peak learning rate of ALIGNN")
    head_rate: float = option(
        1e-4, "learning rate of the head; 0: that of ALIGNN", when={"adapt=linear": 1e-3}
    )
    schedule: str = option("plateau", "plateau (halved without gain) or cosine")
    patience: int = option(
        20, "epochs without gain before training ends", when={"dataset=classics": 10}
    )
