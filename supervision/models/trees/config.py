"""Everything that shapes an ensemble of trees."""

from dataclasses import dataclass

from supervision.runtime.options import option
from supervision.training.target import TARGET_HELP, TargetTransform

KINDS = ("extra_trees", "boosting")
BOOSTING = "model=boosting"


@dataclass(frozen=True)
class TreeConfig:
    """Everything that shapes an ensemble of trees.

    Raises ValueError, naming the field, for a value out of range.
    """

    model: str = option("extra_trees", "extra_trees, or boosting (LightGBM)")
    trees: int = option(300, "number of trees, or rounds of boosting")
    max_features: float = option(
        0.3,
        "fraction of the features that a split (boosting: a tree) chooses from",
        when={BOOSTING: 0.5},
    )
    leaf: int = option(1, "smallest number of structures in a leaf", when={BOOSTING: 3})
    leaves: int = option(127, "boosting: largest number of leaves of a tree")
    learning_rate: float = option(0.05, "boosting: weight of each tree")
    unreported_weight: float = option(
        1.0, "weight of a Tc of 0 K that says that none was reported", when={BOOSTING: 0.5}
    )
    calibrate: bool = option(
        False,
        "multiply predictions of new compositions by a factor fitted to left-out families",
        when={BOOSTING: True},
    )
    target: str = option("sqrt", TARGET_HELP)
    seed: int = 42

    def __post_init__(self) -> None:
        if self.model not in KINDS:
            raise ValueError(f"model '{self.model}' is not one of {', '.join(KINDS)}.")
        for name, least in (("trees", 1), ("leaf", 1), ("leaves", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}.")
        for name in ("max_features", "learning_rate", "unreported_weight"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be above 0 and at most 1, got {getattr(self, name)}."
                )
        TargetTransform(self.target)
