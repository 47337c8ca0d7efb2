"""Everything that shapes a model of structural descriptors."""

from dataclasses import dataclass

from supervision.models.trees.config import TreeConfig


@dataclass(frozen=True)
class StructureConfig(TreeConfig):
    """Everything that shapes a model of structural descriptors: its trees."""
