"""The list of what ships with the install: models, and the sha256 of every file."""

import json
from collections.abc import Mapping
from pathlib import Path

from supervision.answer.released import MANIFEST_FILE
from supervision.runtime.files import sha256_of

UNLISTED = (MANIFEST_FILE, "README.md", "__init__.py")  # texts that no model is read from


def write_manifest(
    folder: Path, version: str, default: str, fast: str, models: Mapping[str, Mapping[str, str]]
) -> None:
    """Write the manifest of a folder.

    Args:
        default, fast: names of the models that answer where none is named.
        models: ``path`` (in the folder) and ``description`` of each, by name.
    """
    content = {
        "version": version,
        "default": default,
        "fast": fast,
        "models": dict(models),
        "files": hashes(folder),
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=1) + "\n")


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder that a model is read from, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in files
        if path.name not in UNLISTED and path.suffix != ".pyc"
    }
