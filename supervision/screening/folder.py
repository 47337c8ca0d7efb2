"""The folder of a screening: where its files are, and whether it is that of this command."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervision.data.errors import DatasetError
from supervision.data.structure_files import walk_files
from supervision.runtime.files import PARTIAL_SUFFIX, atomic_write, printable_path, sha256_of
from supervision.screening.sources.candidates import is_address
from supervision.screening.sources.generate import generated_from, is_generated


@dataclass(frozen=True)
class ScreeningFolder:
    """The files of a screening.

    ``settings.json`` is the first file and says what is screened; ``manifest.json`` follows when
    all shards are written; a file in ``results`` means that its shard is done.
    """

    path: Path

    @property
    def settings(self) -> Path:
        """What is screened, by which model, with which filters of the structure."""
        return self.path / "settings.json"

    @property
    def manifest(self) -> Path:
        """The shards; written when they are complete."""
        return self.path / "manifest.json"

    @property
    def shards(self) -> Path:
        """The candidates, in Parquet files."""
        return self.path / "shards"

    @property
    def results(self) -> Path:
        """The answers to each shard, in a Parquet file of its name."""
        return self.path / "results"

    @property
    def model(self) -> Path:
        """A copy of the model, so that every machine and every later start asks the same one."""
        return self.path / "model"

    @property
    def top(self) -> Path:
        """The first candidates as CIF files."""
        return self.path / "top"

    @property
    def lock(self) -> Path:
        """Held by the process that works here."""
        return self.path / "lock"

    def open(self, settings: Mapping[str, str]) -> None:
        """Create the folder for these settings, or check that it was created for them.

        Raises DatasetError, naming the setting, for the folder of another screening, and for one
        with other files.
        """
        if not self.settings.is_file():
            if self.path.exists() and any(p != self.lock for p in self.path.iterdir()):
                raise DatasetError(
                    f"{self._name} has other files than those of a screening; name another folder "
                    "with --out."
                )
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.settings, settings)
            return
        known = json.loads(self.settings.read_text())
        differing = [name for name, value in settings.items() if known.get(name) != value]
        if differing:
            raise DatasetError(
                f"{self._name} holds a screening with another {differing[0]}; give the command "
                "that began it, name another folder with --out, or delete this one."
            )

    def delete_partial(self) -> None:
        """Delete what a killed process has left under temporary names."""
        for path in self.path.rglob(f"*{PARTIAL_SUFFIX}"):
            if path.is_file():
                path.unlink(missing_ok=True)

    @property
    def _name(self) -> str:
        return printable_path(self.path)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def source_hash(source: str) -> str:
    """A hash of the names, sizes and times of change of a source's files; an address is its own.

    Their contents may be terabytes, and what was read of them is in the shards. That of variants
    says which they are, too. A file that does not exist is its own, as the name of a data set.
    """
    if is_address(source):
        return source
    if is_generated(source):
        name, options = generated_from(source)
        return f"{options} {source_hash(name)} {source_hash(options.data) if options.data else ''}"
    path = Path(source).expanduser()
    if not path.exists():
        return source
    files = walk_files(path) if path.is_dir() else iter([path])
    return _hash(
        f"{file.relative_to(path)} {found.st_size} {found.st_mtime_ns}"
        for file in files
        for found in [file.lstat()]
    )


def model_hash(folder: Path) -> str:
    """A hash of the files of a saved model."""
    return _hash(f"{path.relative_to(folder)} {sha256_of(path)}" for path in walk_files(folder))


def _hash(lines: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
