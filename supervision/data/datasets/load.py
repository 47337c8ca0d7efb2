"""One door to every data set: a name or a path in, crystals and rejects out."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from supervision.data.crystals import Crystal, Dataset, Reject, material_key
from supervision.data.datasets.classics import load_classics
from supervision.data.datasets.jarvis import load_jarvis
from supervision.data.datasets.table import parse_table, read_cif
from supervision.data.datasets.threedsc import open_threedsc
from supervision.data.errors import CrystalError, DatasetError
from supervision.runtime.files import shown

NAMED = ("classics", "3dsc", "jarvis_supercon")


def load_dataset(name: str, data: str = "") -> Dataset:
    """Read a data set: ``classics``, ``3dsc`` or ``jarvis_supercon`` (``data``: a local copy, or
    empty to download), or a path: a folder of CIF files with a ``tc.csv``, or a CSV table
    ``formula, tc, cif``.

    Raises DatasetError where there is nothing to read. Rows without a usable formula, Tc or CIF
    are rejects; whether each CIF is a crystal shows when it is prepared.
    """
    if name == "classics":
        return Dataset("classics", tuple(load_classics()))
    if name == "3dsc":
        table, read = open_threedsc(data)
        return _from_table("3dsc", table, read)
    if name == "jarvis_supercon":
        crystals, rejects = load_jarvis(data)
        return Dataset(name, tuple(crystals), tuple(rejects))
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError):  # a name too long, a home that is not there
        is_folder = is_file = False
    if name and is_folder:
        return _from_folder(path)
    if is_file:
        table = parse_table(path.read_bytes(), str(path), {"formula", "tc", "cif"})
        return _from_table(named(name), table, _reader(path.parent))
    raise DatasetError(
        f"dataset '{name[:200]}' is none of {', '.join(NAMED)}, and no file or folder that exists."
    )


def named(dataset: str) -> str:
    """What a data set is called in runs: its name, or that of its file or folder."""
    if dataset in NAMED:
        return dataset
    path = Path(dataset).expanduser()
    return _own_name(path.resolve().name if path.is_dir() else path.stem)


def _own_name(name: str) -> str:
    """The name of a data set of one's own, never one that reads like a named data set."""
    taken = {_slug(named) for named in NAMED}
    return f"own-{name}" if _slug(name) in taken else name


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _reader(folder: Path) -> Callable[[str], str]:
    """Read a CIF by its path relative to the table, or take the CIF text that stands there."""

    def read(cif: str) -> str:
        return cif if _is_text(cif) else read_cif(folder, cif)

    return read


def _is_text(cif: str) -> bool:
    """CIF text has many lines, a path has one (and may be called data_1.cif)."""
    return "\n" in cif or "\r" in cif


def _from_folder(folder: Path) -> Dataset:
    """CIF files named in ``tc.csv`` (columns ``cif, tc`` and, if wanted, ``formula``)."""
    listing = folder / "tc.csv"
    if not listing.is_file():
        raise DatasetError(
            f"{folder} has no tc.csv: give one with the columns cif (a file name) and tc (kelvin)."
        )
    table = parse_table(listing.read_bytes(), str(listing), {"cif", "tc"})
    if "formula" not in table.columns:
        table["formula"] = ""
    files = (p for p in folder.rglob("*") if p.suffix.lower() == ".cif" and p.is_file())
    found = {p.relative_to(folder).as_posix() for p in files}
    unlisted = sorted(found - {Path(cif.strip()).as_posix() for cif in table["cif"]})
    dataset = _from_table(named(str(folder)), table, partial(read_cif, folder))
    extra = tuple(Reject(shown(Path(name)), "The file has no row in tc.csv.") for name in unlisted)
    return Dataset(dataset.name, dataset.crystals, dataset.rejects + extra)


def _from_table(name: str, table: pd.DataFrame, read: Callable[[str], str]) -> Dataset:
    """Rows of a table as crystals; rows that cannot be used are rejects."""
    crystals: list[Crystal] = []
    rejects: list[Reject] = []
    cells = [cif.strip() for cif in table["cif"]]
    for id, cif, row in zip(_row_ids(cells), cells, table.to_dict("records"), strict=True):
        try:
            crystals.append(_crystal(id, cif, row, read))
        except CrystalError as error:
            rejects.append(Reject(id, str(error)))
    return Dataset(name, tuple(crystals), tuple(rejects))


def _row_ids(cifs: Sequence[str]) -> list[str]:
    """A unique id a row: the file's name; its path where names repeat; else the row's number."""
    paths = [Path("" if _is_text(cif) or len(cif) > 250 else cif) for cif in cifs]
    names, full = Counter(path.name for path in paths), Counter(paths)
    ids = []
    for number, path in enumerate(paths, start=1):
        if not path.name:
            ids.append(f"row {number}")
        elif names[path.name] == 1:
            ids.append(path.name)
        elif full[path] == 1:
            ids.append(path.as_posix())
        else:
            ids.append(f"{path.as_posix()} (row {number})")
    return ids


def _crystal(id: str, cif: str, row: Mapping[Hashable, str], read: Callable[[str], str]) -> Crystal:
    tc = _kelvin(row["tc"])
    crystal = Crystal(id, row["formula"].strip(), read(cif), tc)
    formula = crystal.formula or crystal.structure.composition.formula.replace(" ", "")
    material_key(formula)
    parent = (row.get("material_id_2") or row.get("parent_id") or "").strip() or None
    return Crystal(id, formula, crystal.cif, tc, parent, _weight(row.get("weight", "").strip()))


def _weight(text: str) -> float:
    """The share of its material that a structure stands for; 1 where none is given."""
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise CrystalError(f"Its weight '{text[:60]}' is not a positive number.")
    return weight


def _kelvin(text: str) -> float:
    try:
        tc = float(text)
    except ValueError:
        tc = math.nan
    if not (math.isfinite(tc) and tc >= 0):
        raise CrystalError(f"Its Tc '{text[:60]}' is not a temperature in kelvin (0 or more).")
    return tc
