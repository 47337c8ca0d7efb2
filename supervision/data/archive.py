"""A data set ready to be trained on, as one file: its materials, splits and prepared arrays.

It is a zip file of plain JSON and ``.npy`` members. What is read from it equals what was written,
bit for bit, and reading needs numpy alone.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supervision.data.crystals import Arrays, Crystal, Dataset, Material, Reject, group_materials
from supervision.data.errors import DatasetError
from supervision.data.featurize import Featurised
from supervision.data.splits import Split
from supervision.runtime.errors import one_line
from supervision.runtime.files import atomic_write

FORMAT = 1
HEADER, CRYSTALS, SPLITS, ARRAYS = "archive.json", "crystals.json", "splits.json", "arrays/"
FACTS = ("id", "formula", "cif", "tc", "parent_id", "weight")
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, MemoryError, TypeError, ValueError, OSError,
)  # fmt: skip
DENSEST = 100  # times smaller than its content; those of 3DSC are 10 and 13 times
SMALL = 10_000_000  # bytes of content that are read however dense they lie


@dataclass(frozen=True)
class DatasetSpec:
    """What an archive was made of and in which way: the options of ``entrypoints.prepare``."""

    dataset: str
    data: str = ""
    limit: int = 0
    seed: int = 42
    allow_loss: bool = False


@dataclass(frozen=True)
class Archive:
    """What a file holds; ``splits`` by their kind."""

    made: DatasetSpec
    dataset: Dataset
    materials: Sequence[Material]
    splits: Mapping[str, Split]

    def split(self, kind: str) -> Split:
        """The split of a kind. Raises DatasetError where the archive has none such."""
        if kind not in self.splits:
            raise DatasetError(
                f"The archive holds the split(s) {', '.join(self.splits)}, not {kind}: "
                f"write one with python -m entrypoints.prepare --split {kind}."
            )
        return self.splits[kind]


def write_archive(
    path: Path, archive: Archive, recipe: str = "", results: Mapping[str, Featurised] | None = None
) -> None:
    """Write an archive whole or not at all, with the results of a recipe by crystal id."""
    ids = {c.id: m.id for m in archive.materials for c in m.crystals}
    facts = [
        {name: getattr(c, name) for name in FACTS} | {"material": ids[c.id]}
        for c in archive.dataset.crystals
    ]
    header = {
        "format": FORMAT,
        "made": asdict(archive.made),
        "name": archive.dataset.name,
        "hash": archive.dataset.hash,
        "recipe": recipe,
        "rejects": [[r.name, r.reason] for r in archive.dataset.rejects],
    }
    splits = {
        kind: {"seed": s.seed, "grouped_by": s.grouped_by, "hash": s.hash, "parts": dict(s.parts)}
        for kind, s in archive.splits.items()
    }
    with (
        atomic_write(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members,
    ):
        for name, content in ((HEADER, header), (CRYSTALS, facts), (SPLITS, splits)):
            members.writestr(name, json.dumps(content, indent=1))
        if results:
            _write_arrays(members, [results[c.id].to_arrays() for c in archive.dataset.crystals])


def read_dataset_spec(path: Path) -> DatasetSpec:
    """What an archive was made of. Raises DatasetError for a file that is none."""
    return DatasetSpec(**_header(path)["made"])


def read_archive(path: Path) -> Archive:
    """The archive in a file, checked against its hashes.

    Raises DatasetError for one that is damaged, or that another version of this code wrote.
    """
    header = _header(path)
    try:
        with zipfile.ZipFile(path) as members:
            facts = json.loads(members.read(CRYSTALS))
            splits = json.loads(members.read(SPLITS))
            prepared: list[Arrays] = list(_read_arrays(members, len(facts)))
    except UNREADABLE as error:
        raise _damaged(path, one_line(error)) from error
    recipe, owner, crystals = header["recipe"], {}, []
    for row, arrays in zip(facts, prepared, strict=True):
        owner[row["id"]] = row.pop("material")
        crystals.append(Crystal(**row, prepared={recipe: arrays} if recipe else {}))
    rejects = tuple(Reject(*reject) for reject in header["rejects"])
    archive = Archive(
        DatasetSpec(**header["made"]),
        Dataset(header["name"], tuple(crystals), rejects),
        group_materials(crystals, lambda c: owner[c.id]),
        {k: Split(k, s["seed"], s["parts"], s["grouped_by"]) for k, s in splits.items()},
    )
    if archive.dataset.hash != header["hash"]:
        raise _damaged(path, "its crystals are not those that were written")
    if any(split.hash != splits[kind]["hash"] for kind, split in archive.splits.items()):
        raise _damaged(path, "its split is not the one that was written")
    return archive


def _header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(f"There is no archive {path}.")
    try:
        with zipfile.ZipFile(path) as members:
            size = sum(member.file_size for member in members.infolist())
            if size > max(SMALL, DENSEST * path.stat().st_size):
                raise ValueError(f"its content would be {size:,} bytes, far more than it can hold")
            header = json.loads(members.read(HEADER))
    except UNREADABLE as error:
        raise _damaged(path, one_line(error)) from error
    if header.get("format") != FORMAT:
        raise DatasetError(
            f"{path} is an archive of format {header.get('format')}, and this code reads format "
            f"{FORMAT}: write it anew with python -m entrypoints.prepare."
        )
    return header


def _damaged(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"{path} is damaged, or no archive of python -m entrypoints.prepare ({why})."
    )


def _write_arrays(members: zipfile.ZipFile, rows: Sequence[Mapping[str, np.ndarray]]) -> None:
    """The arrays of each name end to end, and beside them the shape that each had."""
    for name in rows[0]:
        arrays = [np.asarray(row[name]) for row in rows]
        shapes = np.array([array.shape for array in arrays], dtype=np.int64)
        flat = np.concatenate([array.reshape(-1) for array in arrays])
        if any(array.dtype != flat.dtype for array in arrays):
            raise TypeError(f"The arrays {name} are not all of one type.")
        for member, content in ((name, flat), (f"{name}.shape", shapes)):
            with members.open(f"{ARRAYS}{member}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, content, allow_pickle=False)


def _read_arrays(members: zipfile.ZipFile, count: int) -> Iterator[Arrays]:
    """What ``_write_arrays`` wrote, a crystal at a time; nothing for each where it wrote none."""
    found = [n.removeprefix(ARRAYS) for n in members.namelist() if n.startswith(ARRAYS)]
    names = [name[:-4] for name in found if not name.endswith(".shape.npy")]
    columns = {name: _ragged(members, name, count) for name in names}
    for row in range(count):
        yield {name: arrays[row] for name, arrays in columns.items()}


def _ragged(members: zipfile.ZipFile, name: str, count: int) -> list[np.ndarray]:
    with members.open(f"{ARRAYS}{name}.npy") as file:
        flat = np.lib.format.read_array(file, allow_pickle=False)
    with members.open(f"{ARRAYS}{name}.shape.npy") as file:
        shapes = np.lib.format.read_array(file, allow_pickle=False)
    if len(shapes) != count:
        raise ValueError(f"{len(shapes)} arrays {name} for {count} crystals")
    sizes = shapes.prod(axis=1, dtype=np.int64)
    ends = np.cumsum(sizes)
    parts = zip(ends - sizes, ends, shapes, strict=True)
    return [flat[start:end].reshape(shape) for start, end, shape in parts]
