"""Everything that shapes a model of compositions."""

from dataclasses import dataclass

from supervision.models.trees.config import TreeConfig


@dataclass(frozen=True)
class CompositionConfig(TreeConfig):
    """Everything that shapes a model of compositions: its trees."""
