"""Everything that shapes a graph model, in one place."""

from dataclasses import dataclass

from supervision.training.target import TargetTransform

ADAPTATIONS = ("full", "linear")
BACKENDS = ("pure", "dgl")
COUNTS = ("batch_size", "angle_budget", "head_epochs", "head_batch_size")


@dataclass(frozen=True)
class GraphConfig:
    """Everything that shapes a graph model, beside the data and the weights.

    Attributes:
        adapt: ``full`` trains all of ALIGNN, ``linear`` the head alone.
        backend: ``pure`` (PyTorch, on folded graphs) or ``dgl`` (alignn's reference: slow).
        trained_layers: how many of the last of ALIGNN's layers move by ``full``, and nothing before
            them (0: all of it); gradients go no further back.
        neighbours: an atom is bonded to; 0: those that the weights learned from.
        batch_size: materials a step.
        angle_budget: angles that are in memory at once; a step of more is read in parts.
        head_epochs, head_learning_rate, head_batch_size: how the head is fitted to standardised
            frozen features before anything else moves.
    """

    adapt: str = "full"
    backend: str = "pure"
    trained_layers: int = 0
    neighbours: int = 0
    batch_size: int = 32
    angle_budget: int = 40_000
    dropout: float = 0.1
    target: str = "sqrt"
    head_epochs: int = 20
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
