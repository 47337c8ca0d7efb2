"""Settings as a file: what a study found best, for a training to use.

    {"model_family": "vision", "settings": {"lora_rank": 24, "beta": 0.05}}

A setting is the field of its name, in whichever of the family's configs has it.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any


def apply_settings(settings: Mapping[str, Any], *configs: Any) -> list[Any]:
    """Frozen dataclasses with these settings in place of their own.

    Raises ValueError for a setting that none of them has, or that one refuses.
    """
    names = [{field.name for field in fields(config)} for config in configs]
    unknown = set(settings).difference(*names)
    if unknown:
        raise ValueError(f"There is no setting {', '.join(sorted(unknown))}.")
    return [
        replace(config, **{name: value for name, value in settings.items() if name in own})
        for config, own in zip(configs, names, strict=True)
    ]


def write_settings(path: Path, model_family: str, settings: Mapping[str, Any]) -> None:
    """Write the file that ``read_settings`` reads."""
    content = {"model_family": model_family, "settings": dict(settings)}
    path.write_text(json.dumps(content, indent=1))


def read_settings(path: Path, model_family: str) -> dict[str, Any]:
    """The settings in a file; ValueError where it is none, or of another model family."""
    if not path.is_file():
        raise ValueError(f"config={path}: there is no such file.")
    try:
        found = json.loads(path.read_text())
        family = found.get("model_family", found.get("pipeline"))  # the key of earlier versions
        settings = dict(found["settings"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no settings of a study.") from error
    if family != model_family:
        raise ValueError(f"{path} holds settings of {family}, not of {model_family}.")
    return settings
