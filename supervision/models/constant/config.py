"""The constant has one setting, its seed, and uses none."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ConstantConfig:
    """Nothing shapes a constant; every config has a seed."""

    seed: int = 42
