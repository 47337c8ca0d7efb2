"""The JARVIS electron-phonon data set: computed, not measured critical temperatures.

Source: Choudhary and Garrity, npj Comput. Mater. 8, 244 (2022): the McMillan-Allen-Dynes formula
with DFT electron-phonon coupling, 1,058 bulk materials; doi:10.6084/m9.figshare.21370572.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from supervision.data.crystals import Crystal, Reject
from supervision.data.errors import CrystalError, DatasetError
from supervision.runtime.errors import one_line
from supervision.runtime.files import cache_dir

MAX_JSON_BYTES = 500_000_000
LOCAL_COPY_HELP = (
    "Give a local copy (the public .zip or .json, or a .jsonl) with data=PATH, or with "
    "extra_data=NAME=PATH for a source beside the data set."
)


def load_jarvis(data: str = "") -> tuple[list[Crystal], list[Reject]]:
    """The data set from a local copy or, without one, downloaded with jarvis-tools.

    Returns the crystals and the rejected rows. Raises DatasetError if the data cannot be read.
    """
    return load_release("supercon_3d", data)


def load_release(name: str, data: str = "") -> tuple[list[Crystal], list[Reject]]:
    """A data set of computed Tc in the format of jarvis-tools.

    A row has an id (``jid`` or ``id``), a Tc in kelvin (``Tc`` or ``tc_kelvin``) and a structure
    (``atoms`` in the format of JARVIS, or ``poscar``).

    Args:
        name: its name in jarvis-tools.
        data: a local copy; empty to download it.

    Returns the crystals and the rejected rows. Raises DatasetError if the data cannot be read.
    """
    rows = _read(Path(data).expanduser()) if data else _download(name)
    crystals: list[Crystal] = []
    rejects: list[Reject] = []
    for number, row in enumerate(rows, start=1):
        id = str(row.get("jid", row.get("id", f"row {number}")))
        try:
            crystals.append(_crystal(id, row))
        except CrystalError as error:
            rejects.append(Reject(id, str(error)))
    return crystals, rejects


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DatasetError(f"data={path} is not a file. {LOCAL_COPY_HELP}")
    try:
        text = _text(path)
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = json.loads(text)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path} cannot be read ({one_line(error)}). {LOCAL_COPY_HELP}"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DatasetError(f"{path} is not a list of materials. {LOCAL_COPY_HELP}")
    return rows


def _text(path: Path) -> str:
    """The text of the file, or of the single JSON file in a zip archive."""
    if path.suffix != ".zip":
        return path.read_text()
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".json")]
        if len(members) != 1 or members[0].file_size > MAX_JSON_BYTES:
            raise ValueError("it must hold exactly one JSON file of at most 500 MB")
        return archive.read(members[0]).decode()


def _download(name: str) -> list[dict[str, Any]]:
    """The rows of the release in the cache; downloaded if missing.

    jarvis-tools keeps whatever a server answers, so a file is moved to the cache once it was read.
    """
    from jarvis.db.figshare import data, get_db_info

    try:
        cached = cache_dir() / f"{get_db_info()[name][1]}.zip"
        if cached.is_file():
            return data(name, store_dir=str(cached.parent))
        with TemporaryDirectory(dir=cache_dir()) as folder:
            rows = data(name, store_dir=folder)
            os.replace(Path(folder) / cached.name, cached)
    except Exception as error:  # networks, proxies and broken archives raise many types
        raise DatasetError(
            f"The data set {name} of jarvis-tools cannot be downloaded ({one_line(error)}). "
            f"{LOCAL_COPY_HELP}"
        ) from error
    return rows


def _crystal(name: str, row: Mapping[str, Any]) -> Crystal:
    try:
        tc = float(row["Tc"] if "Tc" in row else row["tc_kelvin"])
        structure = _structure(row)
        if not 0 <= tc < 1000:
            raise ValueError(f"its Tc is {tc} K")
    except Exception as error:  # pymatgen raises many types
        raise CrystalError(f"The row cannot be read ({one_line(error)}).") from error
    formula = structure.composition.reduced_formula
    return Crystal(name, formula, structure.to(fmt="cif"), tc)


def _structure(row: Mapping[str, Any]) -> Structure:
    if "poscar" in row:
        return Poscar.from_str(row["poscar"]).structure
    atoms = row["atoms"]
    return Structure(
        Lattice(atoms["lattice_mat"]),
        [symbol.strip() for symbol in atoms["elements"]],
        atoms["coords"],
        coords_are_cartesian=bool(atoms.get("cartesian", False)),
    )
