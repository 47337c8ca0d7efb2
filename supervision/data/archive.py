"""A data set prepared for training, in one file: its materials, splits and features.

The archive is a zip file of JSON and ``.npy`` files. Reading returns what was written, bit for bit,
and requires only numpy.
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
from supervision.data.featurize import Features
from supervision.data.splits import Split
from supervision.runtime.errors import one_line
from supervision.runtime.files import atomic_write

FORMAT_VERSION = 1
HEADER_FILE, CRYSTALS_FILE, SPLITS_FILE, ARRAYS_FOLDER = (
    "archive.json",
    "crystals.json",
    "splits.json",
    "arrays/",
)
CRYSTAL_FIELDS = ("id", "formula", "cif", "tc", "parent_id", "weight")
READ_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, MemoryError, TypeError, ValueError, OSError,
)  # fmt: skip
MAX_COMPRESSION_RATIO = 100  # content size / file size; archives of 3DSC have 10 and 13
UNCHECKED_CONTENT_BYTES = 10_000_000  # content up to this size is read at any compression ratio


@dataclass(frozen=True)
class DatasetSpec:
    """The options that an archive was made with (see ``entrypoints.prepare``)."""

    dataset: str
    data: str = ""
    limit: int = 0
    seed: int = 42
    allow_loss: bool = False


@dataclass(frozen=True)
class Archive:
    """The content of an archive file.

    Attributes:
        splits: the splits by kind (``random``, ``chemsys``, ``family``, ``novel``).
    """

    spec: DatasetSpec
    dataset: Dataset
    materials: Sequence[Material]
    splits: Mapping[str, Split]

    def split(self, kind: str) -> Split:
        """The split of this kind. Raises DatasetError if the archive does not hold it."""
        if kind not in self.splits:
            raise DatasetError(
                f"The archive holds the split(s) {', '.join(self.splits)}, not {kind}: "
                f"write one with python -m entrypoints.prepare --split {kind}."
            )
        return self.splits[kind]


def write_archive(
    path: Path,
    archive: Archive,
    featurizer_name: str = "",
    features: Mapping[str, Features] | None = None,
) -> None:
    """Write an archive atomically.

    Args:
        featurizer_name: name of the featurizer that computed ``features``.
        features: the features of every crystal by crystal id, or None for an archive without.
    """
    ids = {c.id: m.id for m in archive.materials for c in m.crystals}
    rows = [
        {name: getattr(c, name) for name in CRYSTAL_FIELDS} | {"material": ids[c.id]}
        for c in archive.dataset.crystals
    ]
    header = {
        "format": FORMAT_VERSION,
        "made": asdict(archive.spec),
        "name": archive.dataset.name,
        "hash": archive.dataset.hash,
        "recipe": featurizer_name,
        "rejects": [[r.name, r.reason] for r in archive.dataset.rejects],
    }
    splits = {
        kind: {
            "seed": s.seed,
            "grouped_by": s.grouped_by,
            "apart": s.apart,
            "hash": s.hash,
            "parts": dict(s.parts),
        }
        for kind, s in archive.splits.items()
    }
    with (
        atomic_write(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members,
    ):
        for name, content in ((HEADER_FILE, header), (CRYSTALS_FILE, rows), (SPLITS_FILE, splits)):
            members.writestr(name, json.dumps(content, indent=1))
        if features:
            _write_arrays(members, [features[c.id].to_arrays() for c in archive.dataset.crystals])


def read_dataset_spec(path: Path) -> DatasetSpec:
    """The options that an archive was made with. Raises DatasetError if it cannot be read."""
    return DatasetSpec(**_read_header(path)["made"])


def read_archive(path: Path) -> Archive:
    """Read an archive and verify its hashes.

    Raises DatasetError if it is damaged or has the format of another version of this code.
    """
    header = _read_header(path)
    try:
        with zipfile.ZipFile(path) as members:
            rows = json.loads(members.read(CRYSTALS_FILE))
            splits = json.loads(members.read(SPLITS_FILE))
            features: list[Arrays] = list(_read_arrays(members, len(rows)))
    except READ_ERRORS as error:
        raise _damaged_error(path, one_line(error)) from error
    featurizer_name, material_ids, crystals = header["recipe"], {}, []
    for row, arrays in zip(rows, features, strict=True):
        material_ids[row["id"]] = row.pop("material")
        crystals.append(
            Crystal(**row, features={featurizer_name: arrays} if featurizer_name else {})
        )
    rejects = tuple(Reject(*reject) for reject in header["rejects"])
    archive = Archive(
        DatasetSpec(**header["made"]),
        Dataset(header["name"], tuple(crystals), rejects),
        group_materials(crystals, lambda c: material_ids[c.id]),
        {
            k: Split(k, s["seed"], s["parts"], s["grouped_by"], s.get("apart", 0.0))
            for k, s in splits.items()
        },
    )
    if archive.dataset.hash != header["hash"]:
        raise _damaged_error(path, "the hash of its crystals is wrong")
    if any(split.hash != splits[kind]["hash"] for kind, split in archive.splits.items()):
        raise _damaged_error(path, "the hash of a split is wrong")
    return archive


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(
            f"There is no archive {path}: write one with python -m entrypoints.prepare."
        )
    try:
        with zipfile.ZipFile(path) as members:
            size = sum(member.file_size for member in members.infolist())
            if size > max(UNCHECKED_CONTENT_BYTES, MAX_COMPRESSION_RATIO * path.stat().st_size):
                raise ValueError(f"its content would be {size:,} bytes, too many for its file size")
            header = json.loads(members.read(HEADER_FILE))
    except READ_ERRORS as error:
        raise _damaged_error(path, one_line(error)) from error
    if header.get("format") != FORMAT_VERSION:
        raise DatasetError(
            f"{path} is an archive of format {header.get('format')}, but this code reads format "
            f"{FORMAT_VERSION}: write it again with python -m entrypoints.prepare."
        )
    return header


def _damaged_error(path: Path, reason: str) -> DatasetError:
    return DatasetError(
        f"{path} is damaged or not an archive ({reason}): write it again with "
        "python -m entrypoints.prepare."
    )


def _write_arrays(members: zipfile.ZipFile, rows: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write, for each name, the arrays of all crystals concatenated, and their shapes."""
    for name in rows[0]:
        arrays = [np.asarray(row[name]) for row in rows]
        shapes = np.array([array.shape for array in arrays], dtype=np.int64)
        flat = np.concatenate([array.reshape(-1) for array in arrays])
        if any(array.dtype != flat.dtype for array in arrays):
            raise TypeError(f"The arrays {name} have different data types.")
        for member, content in ((name, flat), (f"{name}.shape", shapes)):
            with members.open(f"{ARRAYS_FOLDER}{member}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, content, allow_pickle=False)


def _read_arrays(members: zipfile.ZipFile, count: int) -> Iterator[Arrays]:
    """The arrays of each crystal by name; an empty mapping for each if there are no arrays."""
    found = [
        n.removeprefix(ARRAYS_FOLDER) for n in members.namelist() if n.startswith(ARRAYS_FOLDER)
    ]
    names = [name[:-4] for name in found if not name.endswith(".shape.npy")]
    columns = {name: _read_ragged(members, name, count) for name in names}
    for row in range(count):
        yield {name: arrays[row] for name, arrays in columns.items()}


def _read_ragged(members: zipfile.ZipFile, name: str, count: int) -> list[np.ndarray]:
    with members.open(f"{ARRAYS_FOLDER}{name}.npy") as file:
        flat = np.lib.format.read_array(file, allow_pickle=False)
    with members.open(f"{ARRAYS_FOLDER}{name}.shape.npy") as file:
        shapes = np.lib.format.read_array(file, allow_pickle=False)
    if len(shapes) != count:
        raise ValueError(f"{len(shapes)} arrays {name} for {count} crystals")
    sizes = shapes.prod(axis=1, dtype=np.int64)
    ends = np.cumsum(sizes)
    parts = zip(ends - sizes, ends, shapes, strict=True)
    return [flat[start:end].reshape(shape) for start, end, shape in parts]
