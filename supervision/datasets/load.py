"""One door to every data set: a name or a path in, crystals and rejects out."""

import hashlib
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from supervision.crystals import Crystal, CrystalError, DatasetError, Reject, material_key
from supervision.datasets.classics import load_classics
from supervision.datasets.table import parse_table
from supervision.datasets.threedsc import open_threedsc

MAX_LOST = 0.05


@dataclass(frozen=True)
class Dataset:
    """Crystals with a known Tc, and what was left out and why."""

    name: str
    crystals: tuple[Crystal, ...]
    rejects: tuple[Reject, ...] = ()

    @property
    def hash(self) -> str:
        """sha256 over id, Tc, formula, parent, weight and CIF of every crystal, in order of id."""
        digest = hashlib.sha256()
        for c in sorted(self.crystals, key=lambda c: c.id):
            line = f"{c.id}|{c.formula}|{c.tc!r}|{c.parent_id}|{c.weight!r}|{c.content_hash}\n"
            digest.update(line.encode())
        return digest.hexdigest()

    def without(self, rejects: Iterable[Reject]) -> "Dataset":
        """The same data set less the crystals named in ``rejects``, which are recorded."""
        rejects = tuple(rejects)
        gone = {reject.name for reject in rejects}
        kept = tuple(c for c in self.crystals if c.id not in gone)
        return Dataset(self.name, kept, self.rejects + rejects)

    def check_loss(self, *, allow_loss: bool = False) -> None:
        """Raise DatasetError where more than 5% was rejected, unless that is allowed."""
        rows = len(self.crystals) + len(self.rejects)
        if not self.crystals:
            why = f" The first: {self.rejects[0].reason}" if self.rejects else ""
            raise DatasetError(f"No crystal of {self.name} can be used.{why}")
        if len(self.rejects) > MAX_LOST * rows and not allow_loss:
            first = self.rejects[0]
            raise DatasetError(
                f"{len(self.rejects)} of {rows} rows of {self.name} cannot be used, more than "
                f"{MAX_LOST:.0%} (the first: {first.name}: {first.reason}) "
                "Mend them, or pass allow_loss=true to go on without them."
            )


def load_dataset(name: str, data: str = "") -> Dataset:
    """Read a data set: ``classics``, ``3dsc`` (``data``: archive or folder, or empty to download),
    or a path: a folder of CIF files with a ``tc.csv``, or a CSV table ``formula, tc, cif``.

    Raises DatasetError where there is nothing to read. Rows without a usable formula, Tc or CIF
    are rejects; whether each CIF is a crystal shows when it is prepared.
    """
    if name == "classics":
        return Dataset("classics", tuple(load_classics()))
    if name == "3dsc":
        table, read = open_threedsc(data)
        return _from_table("3dsc", table, read)
    path = Path(name).expanduser()
    if path.is_dir():
        return _from_folder(path)
    if path.is_file():
        table = parse_table(path.read_bytes(), str(path), {"formula", "tc", "cif"})
        return _from_table(path.stem, table, _reader(path.parent))
    raise DatasetError(
        f"dataset '{name}' is neither 'classics' nor '3dsc' nor a file or folder that exists."
    )


def _reader(folder: Path) -> Callable[[str], str]:
    """Read a CIF by its path relative to the table, or take the CIF text that stands there."""

    def read(cif: str) -> str:
        if cif.lstrip().startswith(("data_", "#")):
            return cif
        path = folder / cif
        if not cif or not path.is_file():
            raise CrystalError(f"There is no file '{cif}' beside the table.")
        return path.read_text(errors="replace")

    return read


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
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*.cif")}
    unlisted = sorted(found - set(table["cif"]))
    dataset = _from_table(folder.name, table, _reader(folder))
    extra = tuple(Reject(name, "The file has no row in tc.csv.") for name in unlisted)
    return Dataset(dataset.name, dataset.crystals, dataset.rejects + extra)


def _from_table(name: str, table: pd.DataFrame, read: Callable[[str], str]) -> Dataset:
    """Rows of a table as crystals; ids are the CIF names, made unique by row where they repeat."""
    crystals: list[Crystal] = []
    rejects: list[Reject] = []
    seen: set[str] = set()
    for number, row in enumerate(table.to_dict("records"), start=1):
        id = _row_id(row, number, seen)
        try:
            crystals.append(_crystal(id, row, read))
        except CrystalError as error:
            rejects.append(Reject(id, str(error)))
    return Dataset(name, tuple(crystals), tuple(rejects))


def _row_id(row: Mapping[Hashable, str], number: int, seen: set[str]) -> str:
    cif = row["cif"].strip()
    id = Path(cif).name if cif and "\n" not in cif and len(cif) < 250 else f"row {number}"
    if id in seen:
        id = f"{id} (row {number})"
    seen.add(id)
    return id


def _crystal(id: str, row: Mapping[Hashable, str], read: Callable[[str], str]) -> Crystal:
    tc = _kelvin(row["tc"])
    cif = read(row["cif"])
    crystal = Crystal(id, row["formula"].strip(), cif, tc)
    formula = crystal.formula or crystal.structure.composition.formula.replace(" ", "")
    material_key(formula)
    weight = float(row.get("weight") or 1.0)
    parent = row.get("material_id_2") or row.get("parent_id") or None
    return Crystal(id, formula, cif, tc, parent, weight)


def _kelvin(text: str) -> float:
    try:
        tc = float(text)
    except ValueError:
        tc = math.nan
    if not (math.isfinite(tc) and tc >= 0):
        raise CrystalError(f"Its Tc '{text}' is not a temperature in kelvin (0 or more).")
    return tc
