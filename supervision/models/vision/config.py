"""Everything that shapes a vision model and its training."""

from dataclasses import dataclass

from supervision.models.vision.scene import BONDINGS
from supervision.models.vision.views import select_views
from supervision.runtime.options import option
from supervision.training.config import FitConfig
from supervision.training.target import TARGET_HELP, TargetTransform

ADAPTATIONS = ("lora", "linear", "full")
COUNTS = (
    "lora_rank", "lora_alpha", "batch_size", "head_epochs", "head_batch_size", "head_views",
)  # fmt: skip


@dataclass(frozen=True)
class VisionConfig:
    """Everything that shapes a vision model, besides the data and the pretrained weights.

    The head is fitted to standardised frozen features first (``head_*``); then the backbone trains
    with it. From a random head, LoRA spends its first epochs at the constant.

    Attributes:
        lora_alpha: scale of LoRA's update over its rank; 0: twice the rank.
        bonding: how bonds are found, see ``scene.build_scene``.

    Raises ValueError, naming the field, for a value out of range.
    """

    batch_size: int = option(8, "images per step", when={"adapt=linear": 64})
    lora_rank: int = option(16, "rank of LoRA's matrices")
    lora_blocks: int = option(6, "number of last blocks that LoRA adapts; 0: all")
    adapt: str = option("lora", "lora, linear (head only) or full")
    views: int = option(18, "views per structure, 1 to 18", when={"dataset=classics": 6})
    background: bool = option(False, "also read image patches that show nothing")
    target: str = option("sqrt", TARGET_HELP)
    lora_alpha: int = 0
    lora_dropout: float = 0.1
    bonding: str = "fast"
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
        if self.lora_alpha == 0:
            object.__setattr__(self, "lora_alpha", 2 * self.lora_rank)
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if self.lora_blocks < 0:
            raise ValueError(f"lora_blocks must be 0 (all) or more, got {self.lora_blocks}.")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}.")
        select_views(self.views)
        TargetTransform(self.target)


@dataclass(frozen=True)
class VisionFitConfig(FitConfig):
    """How a vision model is trained. A head alone learns at the rate it is started with."""

    epochs: int = option(50, "epochs of training", when={"dataset=classics": 6})
    learning_rate: float = option(
        1e-4, "peak learning rate", when={"adapt=linear": 1e-3, "dataset=classics": 3e-4}
    )
    patience: int = option(10, "epochs without gain before training ends")
