"""The models that come with the package, in its folder ``released``.

Their files are checked before anything is loaded: a model that is not the released one would answer
under its name.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from supervision.answer.loaded import ModelError, SavedModel
from supervision.runtime.files import sha256_of

PACKAGE = "released"
MANIFEST_FILE = "manifest.json"
PREFIX = "released:"  # before the name of a released model where other names are taken, too
INSTALL_AGAIN = "install supervision-tc again, or name another model"


def find_released(name: str) -> SavedModel:
    """A released model by name, with all of its files checked.

    Raises ModelError with one sentence for an unknown name, for a missing or changed file, which it
    names, and where there are no released models.
    """
    manifest = _manifest()
    model = manifest["models"].get(name)
    if model is None:
        known = ", ".join(manifest["models"])
        raise ModelError(f"The model '{name}' is not one of the released models ({known}).")
    _check_files(model["path"], manifest["files"])
    return SavedModel(
        released_folder() / model["path"],
        f"released {name} {manifest['version']}",
        model["description"],
    )


def released_names() -> tuple[str, ...]:
    """The names of the released models; none in a clone without them."""
    return tuple(_manifest()["models"]) if (released_folder() / MANIFEST_FILE).is_file() else ()


def default_name() -> str:
    """The name of the released model that answers by default."""
    return str(_manifest()["default"])


def fast_name() -> str:
    """The name of the released model that answers soonest."""
    return str(_manifest()["fast"])


def released_folder() -> Path:
    """Where the released models are, or would be."""
    return Path(str(files(PACKAGE)))


def _manifest() -> dict[str, Any]:
    path = released_folder() / MANIFEST_FILE
    if not path.is_file():
        raise ModelError(
            f"There are no released models: {path} is missing; install supervision-tc from a "
            "release, or name another model."
        )
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise ModelError(f"{path} is damaged; {INSTALL_AGAIN}.") from error


def _check_files(model_path: str, sha256: Mapping[str, str]) -> None:
    """Raise ModelError for the first file of a model that is missing or was changed."""
    for name, expected in sha256.items():
        if not name.startswith(f"{model_path}/"):
            continue
        path = released_folder() / name
        if not path.is_file():
            raise ModelError(f"{path} of a released model is missing; {INSTALL_AGAIN}.")
        if sha256_of(path) != expected:
            raise ModelError(f"{path} is not the file that was released; {INSTALL_AGAIN}.")
