"""The models that the page asks, with their cards."""

from collections.abc import Mapping

from supervision.answer import released
from supervision.answer.answerer import Answerer
from supervision.answer.loaded import SavedModel, loading, quiet
from supervision.release.card import body
from supervision.release.folder import CARD_FILE
from supervision.web.site import ServedModel, Site
from tracking.serving.model_names import choose_model
from tracking.serving.models import find_saved, load_explaining


def load_site(model: str, explaining: Mapping[str, str]) -> Site:
    """The models of a server; without a name, the default one answers.

    Args:
        explaining: the names of further models that explain, as for ``load_explaining``.

    Raises ModelError with one sentence for a model that is not available.
    """
    fast = released.PREFIX + released.fast_name()
    return Site(
        model=load_served(model),
        fast=load_served(fast),
        explaining=load_explaining(explaining),
    )


def load_served(model: str) -> ServedModel:
    """A model with its card. Raises ModelError with one sentence where there is no such model."""
    with quiet():
        location, reason = choose_model(model)
        found, card = _with_card(location)
        with loading(location):
            answerer = Answerer.load(found.folder)
    return ServedModel(found.location, reason, found.description, card, answerer)


def _with_card(location: str) -> tuple[SavedModel, str]:
    """A model and its card: the file beside it or, of a logged model, what its run says."""
    if saved := find_saved(location):
        card = saved.folder / CARD_FILE
        return saved, body(card.read_text()) if card.is_file() else ""
    from tracking.description import result_in
    from tracking.serving.logged import find_logged

    folder, note = find_logged(location)
    return SavedModel(folder, location, result_in(note)), note
