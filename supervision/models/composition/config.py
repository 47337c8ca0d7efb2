"""Everything that shapes a model of compositions."""

from dataclasses import dataclass

from supervision.runtime.options import option
from supervision.training.target import TargetTransform

KINDS = ("extra_trees", "boosting")


@dataclass(frozen=True)
class CompositionConfig:
    """Everything that shapes a model of compositions.

    Raises ValueError, naming the field, for a value out of range.
    """

    model: str = option("extra_trees", "extra_trees, or boosting (histogram gradient boosting)")
    trees: int = option(300, "number of trees, or rounds of boosting")
    max_features: float = option(0.3, "fraction of the features that a split chooses from")
    leaf: int = option(1, "smallest number of structures in a leaf")
    target: str = option("sqrt", "transform of Tc: sqrt, log1p or identity")
    seed: int = 42

    def __post_init__(self) -> None:
        if self.model not in KINDS:
            raise ValueError(f"model '{self.model}' is not one of {', '.join(KINDS)}.")
        for name in ("trees", "leaf"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if not 0 < self.max_features <= 1:
            raise ValueError(
                f"max_features must be above 0 and at most 1, got {self.max_features}."
            )
        TargetTransform(self.target)
