"""What the page asks: the model that answers, the fast one, and those that explain."""

from collections.abc import Mapping
from dataclasses import dataclass

from supervision.answer.answerer import Answerer
from supervision.models.predictor import SavedPredictor


@dataclass(frozen=True)
class ServedModel:
    """A model with what the page says of it.

    Attributes:
        name: its location, such as ``released ensemble 0.3.0`` or a model URI.
        reason: why this model is used, one sentence; empty where the user named it.
        description: what it is and its test error, in one line; empty where that is not known.
        card: its model card in Markdown; empty where it has none.
        answerer: the model itself.
    """

    name: str
    reason: str
    description: str
    card: str
    answerer: Answerer


@dataclass(frozen=True)
class Site:
    """The models of a server.

    Attributes:
        model: which answers.
        fast: which follows a change of a crystal, many times a second.
        explaining: further models that explain what they predict, by the keys of
            ``supervision.explain.explanation.FAMILIES``.
    """

    model: ServedModel
    fast: ServedModel
    explaining: Mapping[str, SavedPredictor]
