"""Candidates in shards: Parquet files of similar work, which are screened independently."""

import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from supervision.data.cell_checks import MAX_ATOMS
from supervision.data.crystals import Crystal
from supervision.data.errors import DatasetError
from supervision.runtime.files import atomic_write
from supervision.runtime.text import printable
from supervision.screening.folder import ScreeningFolder, write_json
from supervision.screening.sources.candidate import Candidate, Skipped

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # in the source, from 0
        ("id", pa.string()),
        ("cif", pa.string()),
        ("formula", pa.string()),  # of candidates without a structure
        ("error", pa.string()),  # why it cannot be read
        ("energy_above_hull", pa.float64()),  # eV per atom
        ("natoms", pa.int32()),  # in the cell, estimated
        ("content_hash", pa.string()),
    ]
)
LARGEST = 4  # a shard has at most so many times the fewest rows
ATOMS_PER_ROW = 12  # a shard of the fewest rows is full with so many on average
GROUP_ROWS, GROUP_BYTES = 256, 16_000_000  # that are written at once
CUBIC_ANGSTROM_PER_ATOM = 17.0  # the mean of the crystals of 3DSC
CELL = re.compile(r"^\s*_cell_(length_[abc]|angle_(?:alpha|beta|gamma))\s+([\d.]+)", re.MULTILINE)
CELL_CHARACTERS = 20_000  # of a CIF file, in which its cell is looked for


@dataclass(frozen=True)
class Shard:
    """A file of candidates, ``name``.parquet."""

    name: str
    rows: int
    atoms: int


@dataclass(frozen=True)
class Manifest:
    """The shards of a source, and the number of its files that are no structures by their name."""

    shards: tuple[Shard, ...]
    skipped: int

    @property
    def rows(self) -> int:
        """The number of candidates."""
        return sum(shard.rows for shard in self.shards)


def read_manifest(folder: ScreeningFolder) -> Manifest | None:
    """The manifest; None where the shards are not complete."""
    if not folder.manifest.is_file():
        return None
    found = json.loads(folder.manifest.read_text())
    return Manifest(tuple(Shard(**shard) for shard in found["shards"]), found["skipped"])


def write_shards(
    found: Iterable[Candidate | Skipped], folder: ScreeningFolder, fewest_rows: int
) -> Iterator[Manifest]:
    """Write the shards, and the manifest last; yields what there is so far after each shard.

    A shard is closed when it has ``fewest_rows`` and ``ATOMS_PER_ROW`` times as many atoms, or
    ``LARGEST`` times the rows, so that shards of large cells have fewer rows. What an interrupted
    start has written is deleted. Raises DatasetError for a source without structures.
    """
    shutil.rmtree(folder.shards, ignore_errors=True)
    folder.shards.mkdir()
    shards: list[Shard] = []
    source, row = _Source(found), 0
    for first in source:
        name = f"{len(shards):06d}"
        with _ShardWriter(folder.shards / f"{name}.parquet") as writer:
            writer.add(first, row)
            while not writer.is_full(fewest_rows) and (candidate := next(source, None)):
                writer.add(candidate, row + writer.rows)
        pa.default_memory_pool().release_unused()  # it would grow with every shard
        row += writer.rows
        shards.append(Shard(name, writer.rows, writer.atoms))
        yield Manifest(tuple(shards), source.skipped)
    if not shards:
        raise DatasetError("The source holds no structure; docs/screening.md lists what is read.")
    manifest = Manifest(tuple(shards), source.skipped)
    write_json(folder.manifest, asdict(manifest))


class _Source:
    """The candidates of a source; counts what is skipped."""

    def __init__(self, found: Iterable[Candidate | Skipped]) -> None:
        self.found, self.skipped = iter(found), 0

    def __iter__(self) -> Iterator[Candidate]:
        return self

    def __next__(self) -> Candidate:
        while isinstance(item := next(self.found), Skipped):
            self.skipped += 1
        return item


class _ShardWriter(ExitStack):
    """A shard that is being written; its file appears when it is complete."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows = self.atoms = self.bytes = 0
        self.group: list[dict[str, object]] = []
        file: IO[bytes] = self.enter_context(atomic_write(path))
        self.parquet = self.enter_context(pq.ParquetWriter(file, SCHEMA, compression="zstd"))
        self.callback(self._write_group)

    def add(self, candidate: Candidate, row: int) -> None:
        """Add a candidate that has this row in the source."""
        atoms = estimated_atoms(candidate.cif)
        crystal = Crystal(candidate.id, candidate.formula, candidate.cif)
        self.group.append(
            candidate._asdict()
            | {"row": row, "error": printable(candidate.error), "natoms": atoms}
            | {"content_hash": crystal.content_hash}
        )
        self.rows += 1
        self.atoms += atoms
        self.bytes += len(candidate.cif)
        if len(self.group) >= GROUP_ROWS or self.bytes >= GROUP_BYTES:
            self._write_group()

    def is_full(self, fewest_rows: int) -> bool:
        """Whether the shard has enough work."""
        has_atoms = self.atoms >= ATOMS_PER_ROW * fewest_rows
        return self.rows >= fewest_rows * (1 if has_atoms else LARGEST)

    def _write_group(self) -> None:
        if self.group:
            self.parquet.write_table(pa.Table.from_pylist(self.group, schema=SCHEMA))
        self.group, self.bytes = [], 0


def estimated_atoms(cif: str) -> int:
    """The number of atoms in the cell of a CIF text, from its volume; 1 where there is no cell.

    Parsing takes ten times as long, and one process writes the shards for all workers.
    """
    found = dict(CELL.findall(cif[:CELL_CHARACTERS]))
    try:
        a, b, c = (float(found[f"length_{axis}"]) for axis in "abc")
        angles = (float(found[f"angle_{angle}"]) for angle in ("alpha", "beta", "gamma"))
    except (KeyError, ValueError):
        return 1
    x, y, z = (math.cos(math.radians(angle)) for angle in angles)
    volume = a * b * c * math.sqrt(max(0.0, 1 - x * x - y * y - z * z + 2 * x * y * z))
    if not volume < MAX_ATOMS * CUBIC_ANGSTROM_PER_ATOM:  # infinite or no number, too
        return MAX_ATOMS
    return max(1, round(volume / CUBIC_ANGSTROM_PER_ATOM))
