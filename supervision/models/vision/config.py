"""Everything that shapes a vision model, in one place."""

from dataclasses import dataclass

from supervision.models.vision.scene import BONDINGS
from supervision.models.vision.views import select_views
from supervision.training.target import TargetTransform

ADAPTATIONS = ("lora", "linear", "full")
COUNTS = (
    "lora_rank", "lora_alpha", "batch_size", "head_epochs", "head_batch_size", "head_views",
)  # fmt: skip


@dataclass(frozen=True)
class VisionConfig:
    """Everything that shapes a vision model, beside the data and the weights.

    The head is first fitted to standardised frozen features (``head_*``: seconds once the
    features are there), and only then does the backbone move: from a random head LoRA spends its
    first epochs at the constant. ``lora_blocks``: how many of the last blocks LoRA adapts (0: all);
    gradients go no further back. ``background``: the transformer reads patches that show nothing,
    too; they cost as much as the others.
    """

    adapt: str = "lora"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    lora_blocks: int = 6
    batch_size: int = 8
    views: int = 18
    target: str = "sqrt"
    bonding: str = "fast"
    background: bool = False
    head_epochs: int = 20
    head_learning_rate: float = 1e-3
    head_batch_size: int = 64
    head_views: int = 6
    seed: int = 42

    def __post_init__(self) -> None:
        if self.adapt not in ADAPTATIONS:
            raise ValueError(f"adapt '{self.adapt}' is not one of {', '.join(ADAPTATIONS)}.")
        if self.bonding not in BONDINGS:
            raise ValueError(f"bonding '{self.bonding}' is not one of {', '.join(BONDINGS)}.")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if self.lora_blocks < 0:
            raise ValueError(f"lora_blocks must be 0 (all) or more, got {self.lora_blocks}.")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}.")
        select_views(self.views)
        TargetTransform(self.target)
