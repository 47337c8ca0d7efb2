"""Loads pretrained weights by name: from a local file, the cache, or the first available source.

Random weights are never a fallback: if no source is available, the error lists the reason of each.
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
from supervision.models.weights.catalogue import CatalogueEntry
from supervision.models.weights.convert import alignn_from_checkpoint
from supervision.models.weights.sources import (
    CONFIG_METADATA_KEY,
    StateDict,
    WeightsError,
    save_weights,
)
from supervision.runtime.errors import one_line
from supervision.runtime.files import cache_dir, sha256_of


@dataclass(frozen=True)
class Fetched:
    """Weights on disk, or the choice of random weights.

    Attributes:
        entry: the catalogue entry.
        path: a safetensors file; None for random weights.
        sha256: of that file, or of the checkpoint that it was converted from.
        source: where the weights come from.
        message: one sentence that states the choice.
        config: the configuration published with the weights.
    """

    entry: CatalogueEntry
    path: Path | None
    sha256: str
    source: str
    message: str
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pretrained(self) -> bool:
        """False for random weights."""
        return self.path is not None

    @property
    def name(self) -> str:
        """The name of the entry, or ``none`` for random weights."""
        return self.entry.name if self.pretrained else "none"

    @property
    def license(self) -> str:
        """The licence of the weights, or ``none`` for random weights."""
        return self.entry.license if self.pretrained else "none"

    def state_dict(self) -> StateDict:
        """The tensors by parameter name. Raises WeightsError if there is no valid file."""
        if self.path is None:
            raise WeightsError("weights=none has no tensors to load.")
        try:
            return load_file(self.path)
        except SafetensorError as error:
            raise WeightsError(f"{self.path} is not a safetensors file ({error}).") from error


def get_weights(name: str = "auto", model_family: str = "vision") -> Fetched:
    """Weights by name: ``auto`` for the first available of AUTO_ORDER, ``none`` for random weights.

    A local safetensors file may follow a colon: ``dinov3_vitb16:/path/model.safetensors``. For a
    graph model, the file may also be a checkpoint of alignn with its ``config.json`` beside it.
    Raises WeightsError if the name is unknown or the weights are unavailable.
    """
    if name == "none":
        entry = catalogue_entry(name, model_family)
        message = f"weights=none: {entry.architecture}, random weights."
        return Fetched(entry, None, "", "none", message)
    if name == "auto":
        return _fetch_auto(catalogue.AUTO_ORDER[model_family])
    name, _, local = name.partition(":")
    entries = {
        entry.name: entry
        for entry in catalogue.WEIGHTS.values()
        if entry.model_family == model_family
    }
    if name not in entries:
        raise WeightsError(f"weights '{name}' is not one of auto, none, {', '.join(entries)}.")
    if local:
        return _load_file(entries[name], Path(local).expanduser())
    fetched, failures = _fetch_first_available(entries[name])
    if fetched is None:
        raise WeightsError(f"{name} is unavailable. Tried: {'; '.join(failures)}.")
    return fetched


def get_same_weights(name: str, sha256: str, model_family: str) -> Fetched:
    """The weights that a model was trained from, by name.

    Raises WeightsError if they are unavailable, or others than those of this sha256.
    """
    fetched = get_weights(name, model_family)
    if fetched.sha256 != sha256:
        raise WeightsError(
            f"{name} from the {fetched.source} has sha256 {fetched.sha256}, but the model was "
            f"trained from weights with sha256 {sha256}: provide those, or train it again."
        )
    return fetched


def catalogue_entry(name: str, model_family: str) -> CatalogueEntry:
    """The catalogue entry of a name; ``none`` has the architecture of RANDOM_INIT_ENTRY."""
    return catalogue.WEIGHTS[catalogue.RANDOM_INIT_ENTRY[model_family] if name == "none" else name]


def load_cached(entry: CatalogueEntry) -> Fetched | None:
    """The weights in the cache, or None. Raises WeightsError if the cached file is damaged."""
    path, record_path = _cache_paths(entry)
    if not path.is_file():
        return None
    record = _read_record(record_path)
    if sha256_of(path) != record.get("sha256"):
        raise WeightsError(f"{path} is damaged (its sha256 is not the recorded one)")
    source = f"cache, downloaded from {record.get('source')}"
    return _make_fetched(entry, path, record["sha256"], source)


def _fetch_auto(names: tuple[str, ...]) -> Fetched:
    failures: list[str] = []
    for name in names:
        fetched, errors = _fetch_first_available(catalogue.WEIGHTS[name])
        if fetched is not None:
            why = f" ({'; '.join(failures)})" if failures else " (first choice)"
            return replace(fetched, message=f"weights=auto takes {name}{why}.")
        failures += [f"{name}: {error}" for error in errors]
    raise WeightsError(f"No pretrained weights are available. Tried: {'; '.join(failures)}.")


def _fetch_first_available(entry: CatalogueEntry) -> tuple[Fetched | None, list[str]]:
    """Weights from the cache or the first source that works, and the errors until then."""
    failures = []
    try:
        if cached := load_cached(entry):
            return cached, []
    except WeightsError as error:
        failures.append(f"cache: {error}")
    path, record_path = _cache_paths(entry)
    for source in entry.sources:
        try:
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                download = Path(folder) / "download"
                record = {"name": entry.name, "source": source.describe()} | source.fetch(download)
                digest = sha256_of(download)
                written = Path(folder) / "record"
                written.write_text(json.dumps(record | {"sha256": digest}, indent=1))
                os.replace(download, path)
                os.replace(written, record_path)
        except Exception as error:  # network clients raise many types; all are reported
            failures.append(f"{source.describe()}: {one_line(error)}")
            continue
        return _make_fetched(entry, path, digest, record["source"]), failures
    return None, failures


def _cache_paths(entry: CatalogueEntry) -> tuple[Path, Path]:
    """The cached safetensors file of an entry, and the JSON record of its origin."""
    return _cache_dir() / f"{entry.name}.safetensors", _cache_dir() / f"{entry.name}.json"


def _read_record(path: Path) -> dict[str, str]:
    """The record of a cached file; empty if it is missing or damaged."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _load_file(entry: CatalogueEntry, path: Path) -> Fetched:
    if not path.is_file():
        raise WeightsError(f"{entry.name}: there is no file {path}.")
    if path.suffix == ".pt" and entry.model_family == "graph":
        return _convert_checkpoint(entry, path)
    return _make_fetched(entry, path, sha256_of(path), f"file {path.name}")


def _convert_checkpoint(entry: CatalogueEntry, path: Path) -> Fetched:
    """A checkpoint of alignn, converted once and cached under the hash of its inputs."""
    config = _read_config_beside(path)
    digest = sha256_of(path)
    inputs_hash = hashlib.sha256(f"{digest}{config}".encode()).hexdigest()
    converted = _cache_dir() / f"{entry.name}-{inputs_hash[:16]}.safetensors"
    if not converted.is_file():
        try:
            state = alignn_from_checkpoint(path.read_bytes())
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}.") from error
        with tempfile.TemporaryDirectory(dir=converted.parent) as folder:
            written = Path(folder) / "written"
            save_weights(state, config, written)
            os.replace(written, converted)
    return _make_fetched(entry, converted, digest, f"file {path.name}")


def _read_config_beside(path: Path) -> str:
    """The text of the ``config.json`` beside a checkpoint; empty if there is none."""
    config_path = path.with_name("config.json")
    if not config_path.is_file():
        return ""
    try:
        text = config_path.read_text()
        config = json.loads(text)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{config_path} cannot be read ({one_line(error)}).") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{config_path} is not a configuration.")
    return text


def _cache_dir() -> Path:
    folder = cache_dir() / "weights"
    folder.mkdir(exist_ok=True)
    return folder


def _make_fetched(entry: CatalogueEntry, path: Path, sha256: str, source: str) -> Fetched:
    message = f"{entry.name} from the {source}."
    return Fetched(entry, path, sha256, source, message, _read_config(path))


def _read_config(path: Path) -> dict[str, Any]:
    """The configuration in the header of a safetensors file; empty if there is none."""
    try:
        with safe_open(path, framework="pt") as opened:
            return json.loads((opened.metadata() or {}).get(CONFIG_METADATA_KEY, "{}"))
    except SafetensorError:
        return {}  # ``state_dict`` raises the error for a damaged file
