"""Loading a data set by its name, or from a file or folder of the user."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from supervision.data.crystals import Crystal, Dataset, Reject, material_key
from supervision.data.datasets.alexandria import load_alexandria
from supervision.data.datasets.classics import load_classics
from supervision.data.datasets.jarvis import load_jarvis
from supervision.data.datasets.threedsc import open_threedsc
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.quantity import TC, Quantity
from supervision.data.sources import SOURCES
from supervision.data.structure_files import has_structure_name, read_structure_file
from supervision.data.table import load_cif, parse_table, read_cif
from supervision.runtime.files import printable_path

DATASET_NAMES = ("classics", "3dsc", "jarvis_supercon", "alex_supercon")
COMPUTED = {"jarvis_supercon": load_jarvis, "alex_supercon": load_alexandria}


def load_dataset(name: str, data: str = "", quantity: Quantity = TC) -> Dataset:
    """Read a data set.

    Args:
        name: one of ``DATASET_NAMES``; or the path of a folder of structure files with a listing
            (``listing_name``), or of a CSV table with the columns ``formula, tc, cif``.
        data: path of a local copy of a data set that is not embedded; empty to download it.
        quantity: another one than Tc is read from the column of its name.

    Rows without a usable formula, value or file become rejects; CIF text is parsed later, when the
    crystal is featurized. Raises DatasetError if the data set is unknown, cannot be read or lacks
    the quantity.
    """
    if name in DATASET_NAMES and not quantity.is_tc:
        raise DatasetError(
            f"{name} has Tc alone: to learn {quantity.name}, give a folder or a CSV table with "
            "this column."
        )
    if name == "classics":
        return Dataset("classics", tuple(load_classics()))
    if name == "3dsc":
        table, read = open_threedsc(data)
        return _from_table("3dsc", table, read, quantity)
    if name in COMPUTED:
        crystals, rejects = COMPUTED[name](data)
        return Dataset(name, tuple(crystals), tuple(rejects))
    if name in SOURCES:
        raise DatasetError(
            f"dataset '{name}' has formulas without structures: train on it beside another data "
            f"set, with extra={name}."
        )
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError):  # name too long, unknown home folder
        is_folder = is_file = False
    if name and is_folder:
        return _from_folder(path, quantity)
    if is_file:
        table = parse_table(path.read_bytes(), str(path), {"formula", quantity.name, "cif"})
        return _from_table(dataset_label(name), table, _cif_reader(path.parent), quantity)
    raise DatasetError(
        f"dataset '{name[:200]}' is unknown: give {', '.join(DATASET_NAMES)}, or the path of an "
        "existing file or folder."
    )


def dataset_label(dataset: str) -> str:
    """The name of a data set in runs: its own, or that of its file or folder."""
    if dataset in DATASET_NAMES:
        return dataset
    path = Path(dataset).expanduser()
    return _label_of_path(path.resolve().name if path.is_dir() else path.stem)


def _label_of_path(name: str) -> str:
    """The name of a file or folder; with a prefix if it resembles the name of a known data set."""
    reserved = {_normalised(known) for known in (*DATASET_NAMES, *SOURCES)}
    return f"own-{name}" if _normalised(name) in reserved else name


def _normalised(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _cif_reader(folder: Path) -> Callable[[str], str]:
    """A function that reads a file relative to the table, or returns CIF text unchanged."""

    def read(cif: str) -> str:
        return cif if _is_text(cif) else read_cif(folder, cif, _read_structure)

    return read


def _is_text(cif: str) -> bool:
    """Whether a cell is CIF text, which has several lines, and not a path."""
    return "\n" in cif or "\r" in cif


def _read_structure(path: Path) -> str:
    """The one structure in a file as CIF text: any file of which ``predict`` reads the kind."""
    if path.suffix.lower() == ".cif" or not has_structure_name(path):
        return load_cif(path)
    texts = read_structure_file(path)
    if len(texts) > 1:
        raise CrystalError(f"The file holds {len(texts)} structures; give each a file of its own.")
    return texts[0]


def listing_name(quantity: Quantity) -> str:
    """The table in a folder that names its files and their values."""
    return "tc.csv" if quantity.is_tc else "properties.csv"


def _from_folder(folder: Path, quantity: Quantity) -> Dataset:
    """The files of a listing (columns ``cif``, the quantity and optionally ``formula``)."""
    listing = folder / listing_name(quantity)
    if not listing.is_file():
        unit = "kelvin" if quantity.is_tc else quantity.unit or "a number"
        raise DatasetError(
            f"{folder} has no {listing.name}: add one with the columns cif (file name) and "
            f"{quantity.name} ({unit})."
        )
    table = parse_table(listing.read_bytes(), str(listing), {"cif", quantity.name})
    if "formula" not in table.columns:
        table["formula"] = ""
    files = (p for p in folder.rglob("*") if p.suffix.lower() == ".cif" and p.is_file())
    found = {p.relative_to(folder).as_posix() for p in files}
    unlisted = sorted(found - {Path(cif.strip()).as_posix() for cif in table["cif"]})
    read = partial(read_cif, folder, read=_read_structure)
    dataset = _from_table(dataset_label(str(folder)), table, read, quantity)
    reason = f"The file has no row in {listing.name}."
    extra = tuple(Reject(printable_path(Path(name)), reason) for name in unlisted)
    return Dataset(dataset.name, dataset.crystals, dataset.rejects + extra)


def _from_table(
    name: str, table: pd.DataFrame, read: Callable[[str], str], quantity: Quantity
) -> Dataset:
    """The rows of a table as crystals; unusable rows become rejects."""
    crystals: list[Crystal] = []
    rejects: list[Reject] = []
    cells = [cif.strip() for cif in table["cif"]]
    for id, cif, row in zip(_row_ids(cells), cells, table.to_dict("records"), strict=True):
        try:
            crystals.append(_crystal(id, cif, row, read, quantity))
        except CrystalError as error:
            rejects.append(Reject(id, str(error)))
    return Dataset(name, tuple(crystals), tuple(rejects))


def _row_ids(cifs: Sequence[str]) -> list[str]:
    """A unique id per row: the file name, the path if names repeat, else the row number."""
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


def _crystal(
    id: str, cif: str, row: Mapping[Hashable, str], read: Callable[[str], str], quantity: Quantity
) -> Crystal:
    text = row[quantity.name]
    tc = parse_tc(text) if quantity.is_tc else _parse_value(text, quantity)
    crystal = Crystal(id, row["formula"].strip(), read(cif), tc)
    formula = crystal.formula or crystal.structure.composition.formula.replace(" ", "")
    material_key(formula)
    parent = (row.get("material_id_2") or row.get("parent_id") or "").strip() or None
    return Crystal(
        id, formula, crystal.cif, tc, parent, _parse_weight(row.get("weight", "").strip())
    )


def _parse_weight(text: str) -> float:
    """The weight of a structure within its material; 1 if the cell is empty."""
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise CrystalError(f"Its weight '{text[:60]}' is not a positive number.")
    return weight


def parse_tc(text: str) -> float:
    """A Tc in kelvin. Raises CrystalError if the text is not a number of 0 or more."""
    try:
        tc = float(text)
    except ValueError:
        tc = math.nan
    if not (math.isfinite(tc) and tc >= 0):
        raise CrystalError(f"Its Tc '{text[:60]}' is not a temperature in kelvin (0 or more).")
    return tc


def _parse_value(text: str, quantity: Quantity) -> float:
    """A value of another quantity. Raises CrystalError if the text is no number that it can be."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CrystalError(f"Its {quantity.name} '{text[:60]}' is not a number.")
    if quantity.minimum is not None and value < quantity.minimum:
        raise CrystalError(f"Its {quantity.name} {value:g} is below {quantity.minimum:g}.")
    return value
