"""Weights by name: from a file, the cache, or the first of their sources that answers.

Nothing ever falls back to random weights: when no source answers, the error says what each of them
said.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

import supervision.models.weights.catalogue as catalogue
from supervision.models.weights.catalogue import Weights
from supervision.models.weights.convert import alignn_from_checkpoint
from supervision.models.weights.sources import (
    CONFIG,
    StateDict,
    WeightsError,
    save_weights,
    sha256_of,
)
from supervision.runtime.errors import one_line
from supervision.runtime.files import cache_dir


@dataclass(frozen=True)
class Fetched:
    """Weights on disk: row, file, its sha256, where it came from, a line that says so, and the
    configuration that came with them."""

    row: Weights
    path: Path | None
    sha256: str
    source: str
    message: str
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pretrained(self) -> bool:
        """Whether there are weights, or random ones were asked for."""
        return self.path is not None

    @property
    def name(self) -> str:
        """The row's name, or ``none`` for random weights."""
        return self.row.name if self.pretrained else "none"

    @property
    def license(self) -> str:
        """The licence of the weights, or ``none`` for random ones."""
        return self.row.license if self.pretrained else "none"

    def state_dict(self) -> StateDict:
        """The tensors under their class's names. Raises WeightsError where the file holds none."""
        if self.path is None:
            raise WeightsError("weights=none has no tensors to load.")
        try:
            return load_file(self.path)
        except SafetensorError as error:
            raise WeightsError(f"{self.path} is not a safetensors file ({error}).") from error


def _config_of(path: Path) -> dict[str, Any]:
    """The configuration in a safetensors file's header, as its authors wrote it, or nothing."""
    try:
        with safe_open(path, framework="pt") as opened:
            return json.loads((opened.metadata() or {}).get(CONFIG, "{}"))
    except SafetensorError:
        return {}  # the tensors cannot be read either, and that is where it is said


def row_of(name: str, model_family: str) -> Weights:
    """The row of a name; ``none`` takes the architecture that UNTRAINED names."""
    return catalogue.WEIGHTS[catalogue.UNTRAINED[model_family] if name == "none" else name]


def get_weights(name: str = "auto", model_family: str = "vision") -> Fetched:
    """Weights by name; ``auto`` takes the first of AUTO that can be had, ``none`` random ones.

    A safetensors file may be named after a colon: ``dinov3_vitb16:/path/model.safetensors``; for a
    graph model also a checkpoint that alignn wrote, with its ``config.json`` beside it.
    Raises WeightsError listing every source and what it said.
    """
    if name == "none":
        row = row_of(name, model_family)
        return Fetched(row, None, "", "none", f"weights=none: {row.architecture}, random weights.")
    if name == "auto":
        return _first_of(catalogue.AUTO[model_family])
    name, _, local = name.partition(":")
    known = {
        row.name: row for row in catalogue.WEIGHTS.values() if row.model_family == model_family
    }
    if name not in known:
        raise WeightsError(f"weights '{name}' is not one of auto, none, {', '.join(known)}.")
    if local:
        return _from_file(known[name], Path(local).expanduser())
    fetched, failures = _ask(known[name])
    if fetched is None:
        raise WeightsError(f"{name} cannot be had. Tried: {'; '.join(failures)}.")
    return fetched


def _first_of(names: tuple[str, ...]) -> Fetched:
    failures: list[str] = []
    for name in names:
        fetched, failed = _ask(catalogue.WEIGHTS[name])
        if fetched is not None:
            why = f" ({'; '.join(failures)})" if failures else " (first choice)"
            return replace(fetched, message=f"weights=auto takes {name}{why}.")
        failures += [f"{name}: {text}" for text in failed]
    raise WeightsError(f"No pretrained weights can be had. Tried: {'; '.join(failures)}.")


def _ask(row: Weights) -> tuple[Fetched | None, list[str]]:
    """The cache, then each source; what each that failed said."""
    failures = []
    try:
        if known := cached(row):
            return known, []
    except WeightsError as error:
        failures.append(f"cache: {error}")
    path, record = _places(row)
    for origin in row.sources:
        try:
            with tempfile.TemporaryDirectory(dir=path.parent) as room:
                arrived = Path(room) / "arrived"
                details = {"name": row.name, "source": origin.describe()} | origin.fetch(arrived)
                source = details["source"]
                digest = sha256_of(arrived)
                written = Path(room) / "record"
                written.write_text(json.dumps(details | {"sha256": digest}, indent=1))
                os.replace(arrived, path)
                os.replace(written, record)
        except Exception as error:  # whatever a network, an index or a file throws is reported
            failures.append(f"{origin.describe()}: {one_line(error)}")
            continue
        return _fetched(row, path, digest, source), failures
    return None, failures


def cached(row: Weights) -> Fetched | None:
    """What the cache holds of a row, if anything. Raises WeightsError where that is damaged."""
    path, record = _places(row)
    if not path.is_file():
        return None
    known = _recorded(record)
    if sha256_of(path) != known.get("sha256"):
        raise WeightsError(f"{path} is damaged (its sha256 is not the recorded one)")
    return _fetched(row, path, known["sha256"], f"cache, first had from {known.get('source')}")


def _places(row: Weights) -> tuple[Path, Path]:
    """Where the cache has the tensors of a row, and what it knows of them."""
    return _folder() / f"{row.name}.safetensors", _folder() / f"{row.name}.json"


def _recorded(path: Path) -> dict[str, str]:
    """What was written down of a cached file when it came; empty where that cannot be read."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _from_file(row: Weights, path: Path) -> Fetched:
    if not path.is_file():
        raise WeightsError(f"{row.name}: there is no file {path}.")
    if path.suffix == ".pt" and row.model_family == "graph":
        return _from_checkpoint(row, path)
    return _fetched(row, path, sha256_of(path), f"file {path.name}")


def _from_checkpoint(row: Weights, path: Path) -> Fetched:
    """What alignn wrote, converted once and kept under the hash of what it was made of."""
    config = _config_beside(path)
    digest = sha256_of(path)
    made_of = hashlib.sha256(f"{digest}{config}".encode()).hexdigest()
    converted = _folder() / f"{row.name}-{made_of[:16]}.safetensors"
    if not converted.is_file():
        try:
            state = alignn_from_checkpoint(path.read_bytes())
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}.") from error
        with tempfile.TemporaryDirectory(dir=converted.parent) as room:
            written = Path(room) / "written"
            save_weights(state, config, written)
            os.replace(written, converted)
    return _fetched(row, converted, digest, f"file {path.name}")


def _config_beside(path: Path) -> str:
    """The text of the ``config.json`` beside a checkpoint; empty where there is none."""
    beside = path.with_name("config.json")
    if not beside.is_file():
        return ""
    try:
        config = beside.read_text()
        known = json.loads(config)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{beside} cannot be read ({one_line(error)}).") from error
    if not isinstance(known, dict):
        raise WeightsError(f"{beside} is not a configuration.")
    return config


def _folder() -> Path:
    folder = cache_dir() / "weights"
    folder.mkdir(exist_ok=True)
    return folder


def _fetched(row: Weights, path: Path, sha256: str, source: str) -> Fetched:
    said = f"{row.name} from the {source}."
    return Fetched(row, path, sha256, source, said, _config_of(path))
