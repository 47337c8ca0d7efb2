"""What a model family hands to a training run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.data.crystals import Crystal, Material, Reject
from supervision.models.predictor import Predictor

if TYPE_CHECKING:  # trees are trained without torch
    from supervision.models.weights import Fetched

Featurize = Callable[[Sequence[Crystal]], Sequence[Reject]]


@dataclass(frozen=True)
class WeightsInfo:
    """The weights that a model began from; nothing, where it began from none."""

    weights: str = "none"
    source: str = "none"
    choice: str = ""
    hash: str = ""
    license: str = "none"
    pretrained: bool = False

    @classmethod
    def of(cls, fetched: "Fetched") -> "WeightsInfo":
        """That of fetched weights."""
        return cls(
            weights=fetched.name,
            source=fetched.source,
            choice=fetched.message,
            hash=fetched.sha256,
            license=fetched.license,
            pretrained=fetched.pretrained,
        )


@dataclass(frozen=True)
class ModelSetup:
    """A model of one family, ready to be trained.

    Attributes:
        model_family: vision, graph, ...
        predictor: the untrained predictor.
        settings: all that the predictor was configured with, to be logged.
        featurize: crystals -> those that the predictor cannot read, with reasons.
        pictures: materials -> named images ``[h, w, 3]`` to be logged before the training.
        variant: which of the family's models this is, in a word.
        origin: the pretrained weights that the model starts from.
        resumable: whether the training writes checkpoints.
    """

    model_family: str
    predictor: Predictor
    settings: Mapping[str, Any]
    featurize: Featurize
    pictures: Callable[[Sequence[Material]], Mapping[str, np.ndarray]]
    variant: str
    origin: WeightsInfo
    resumable: bool = True
