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
Images = Callable[[Sequence[Material]], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class WeightsInfo:
    """The pretrained weights that a model starts from; the defaults say that there are none.

    Attributes:
        choice: why these, in a sentence.
    """

    name: str = "none"
    source: str = "none"
    choice: str = ""
    hash: str = ""
    license: str = "none"
    pretrained: bool = False

    @classmethod
    def of(cls, fetched: "Fetched") -> "WeightsInfo":
        """The info of fetched weights."""
        return cls(
            name=fetched.name,
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
        predictor: the untrained predictor.
        settings: all that the predictor was configured with, to be logged.
        featurize: caches the features of crystals; returns the crystals that have none, with
            the reasons.
        images: materials -> named images ``[h, w, 3]``, logged before the training.
        variant: which of the family's models this is, in a word.
        weights: the pretrained weights that the model starts from.
    """

    model_family: str
    predictor: Predictor
    settings: Mapping[str, Any]
    featurize: Featurize
    images: Images
    variant: str
    weights: WeightsInfo


MakeSetup = Callable[[], ModelSetup]


def no_images(_materials: Sequence[Material]) -> Mapping[str, np.ndarray]:
    """For families that do not look at pictures."""
    return {}
