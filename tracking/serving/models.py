"""Any model, loaded in this process: a released one, a saved predictor, or one that MLflow logged.

The first two are loaded without MLflow.
"""

from collections.abc import Mapping
from pathlib import Path

from supervision.answer.answerer import Answerer
from supervision.answer.loaded import (
    LoadedModel,
    SavedModel,
    load_saved,
    loading,
    quiet,
    saved_in,
)
from supervision.answer.released import PREFIX, find_released
from supervision.models.predictor import SavedPredictor
from tracking.serving.model_names import choose_model


def load_model(model: str | Path | None = None, *, fast: bool = False) -> LoadedModel:
    """Load a model by its name, URI or folder; without one, the default or the ``fast`` one.

    ``choose_model`` says which that is. A folder is that of an MLflow model, of a saved predictor,
    or of a training without MLflow. Raises ModelError with one sentence where there is no such
    model.
    """
    with quiet():
        location, reason = choose_model(model, fast=fast)
        if saved := find_saved(location):
            return load_saved(saved, reason)
        from tracking.serving.logged import load_logged

        return load_logged(location, reason)


def load_answerer(model: str | Path | None = None) -> Answerer:
    """The saved model itself, of a name, URI or folder as for ``load_model``, to look into it.

    It is read by the installed code, not by the code that it was logged with. Raises ModelError
    with one sentence where there is no such model, or this code cannot read it.
    """
    found = find_model(model)
    with quiet(), loading(found.location):
        return Answerer.load(found.folder)


def find_model(model: str | Path | None = None) -> SavedModel:
    """The saved predictor of a name, URI or folder as for ``load_model``.

    Raises ModelError with one sentence where there is no such model.
    """
    with quiet():
        location, _ = choose_model(model)
        if saved := find_saved(location):
            return saved
        from tracking.serving.logged import find_logged

        folder, note = find_logged(location)
        return SavedModel(folder, location, note.partition("\n")[0])


def load_explaining(names: Mapping[str, str]) -> dict[str, SavedPredictor]:
    """The models that explain, by the keys of ``supervision.explain.explanation.FAMILIES``.

    Args:
        names: names, URIs or folders by these keys; empty ones are left out.

    Raises ModelError with one sentence for a model that is not available or explains nothing.
    """
    from supervision.explain.explanation import explaining_model

    return {
        key: explaining_model(key, name, _of_tc(name, f"{key}={name}").predictor)
        for key, name in names.items()
        if name
    }


def _of_tc(name: str, what: str) -> Answerer:
    """A model of Tc; ValueError, naming the use ``what`` of it, for another one."""
    answerer = load_answerer(name)
    answerer.quantity.require_tc(what)
    return answerer


def find_saved(location: str) -> SavedModel | None:
    """The saved predictor that a location means; None where MLflow has to read it."""
    if location.startswith(PREFIX):
        return find_released(location.removeprefix(PREFIX))
    return saved_in(Path(location))
