"""Structures that are to be predicted, from whatever a user gives: objects, texts, files, tables.

A structure that cannot be read is an input with an error, so it does not stop the others.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from supervision.data.cif_writer import atoms_to_cif, structure_to_cif
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.structure_files import (
    find_structure_files,
    read_structure_file,
    structure_text_to_cif,
)
from supervision.data.table import parse_table
from supervision.runtime.errors import error_reason
from supervision.runtime.files import printable_path

TABLE_COLUMNS = ("cif", "path", "formula")  # of which a table has one; the first counts
MAX_NAME = 200  # characters of a path that is shown
ACCEPTED = "a pymatgen Structure, ASE Atoms, a path, CIF or POSCAR text, or a list of these"


class StructureInput(NamedTuple):
    """One structure: its CIF text, its formula alone, or the reason why it cannot be read."""

    name: str
    cif: str
    error: str = ""
    formula: str = ""


def structure_inputs(structures: Any) -> list[StructureInput]:
    """The structures in a pymatgen Structure, ASE Atoms, path, CIF or POSCAR text, or a list.

    A path may be a structure file, a folder, or a CSV table with a column ``cif``, ``path`` or
    ``formula``.
    """
    if _is_single(structures):
        return _inputs_of(structures, "structure")
    if not isinstance(structures, Iterable):
        return [StructureInput("structure", "", _refusal(structures))]
    named = ((f"structure {n}", given) for n, given in enumerate(structures, start=1))
    return [found for name, given in named for found in _inputs_of(given, name)]


def one_crystal(structure: Any) -> Crystal:
    """The crystal that one structure is, given as for ``structure_inputs``.

    Raises CrystalError with one sentence where it cannot be read, or is not one structure.
    """
    found = structure_inputs(structure)
    if len(found) != 1:
        name = printable_path(structure) if isinstance(structure, Path) else "The input"
        raise CrystalError(f"{name} holds {len(found)} structures; name a file that holds one.")
    (given,) = found
    if given.error:
        raise CrystalError(f"{given.name}: {given.error}")
    return Crystal(given.name, given.formula, given.cif)


def file_inputs(files: Sequence[Path]) -> list[StructureInput]:
    """The structures in files; a CSV file is a table."""
    return [found for path in files for found in _file_inputs(path)]


def text_input(name: str, text: str) -> StructureInput:
    """The structure in CIF or POSCAR text."""
    try:
        return StructureInput(name, structure_text_to_cif(text))
    except CrystalError as error:
        return StructureInput(name, "", str(error))


def _is_single(given: object) -> bool:
    """Whether it is one structure; structures themselves can be iterated over, too."""
    return isinstance(given, str | Path) or _converter(given) is not None


def _inputs_of(given: object, name: str) -> list[StructureInput]:
    if isinstance(given, str) and "\n" not in given and "\r" not in given:
        given = Path(given).expanduser()
    if isinstance(given, Path):
        try:
            return file_inputs(find_structure_files([given]).files)
        except (DatasetError, OSError) as error:  # of a name that is too long, too
            return [StructureInput(printable_path(given)[:MAX_NAME], "", _sentence(error))]
    if isinstance(given, str):
        return [text_input(name, given)]
    convert = _converter(given)
    if convert is None:
        return [StructureInput(name, "", _refusal(given))]
    try:
        return [StructureInput(name, convert(given))]
    except CrystalError as error:
        return [StructureInput(name, "", str(error))]


def _converter(given: object) -> Any:
    """The function that turns a structure object into CIF text, or None for other objects."""
    if _is_instance(given, "pymatgen.core.structure", "IStructure"):
        return structure_to_cif
    return atoms_to_cif if _is_instance(given, "ase.atoms", "Atoms") else None


def _is_instance(given: object, module: str, name: str) -> bool:
    """Whether it is an instance of a class; a module that nothing has imported has none."""
    found = sys.modules.get(module)
    return found is not None and isinstance(given, getattr(found, name))


def _refusal(given: object) -> str:
    return f"An object of type {type(given).__name__} is not a structure; give {ACCEPTED}."


def _file_inputs(path: Path) -> list[StructureInput]:
    name = printable_path(path)
    try:
        if path.suffix.lower() == ".csv" and path.is_file():
            return _table_inputs(path)
        texts = read_structure_file(path)
    except (CrystalError, DatasetError, OSError) as error:
        return [StructureInput(name, "", _sentence(error))]
    if len(texts) == 1:
        return [StructureInput(name, texts[0])]
    return [StructureInput(f"{name} ({n})", text) for n, text in enumerate(texts, start=1)]


def _table_inputs(table: Path) -> list[StructureInput]:
    """The rows of a CSV table: texts, paths inside its folder (relative to it), or formulas."""
    rows = parse_table(table.read_bytes(), str(table), set())
    column = next((name for name in TABLE_COLUMNS if name in rows.columns), None)
    if column is None:
        raise DatasetError(f"{table} has none of the columns {', '.join(TABLE_COLUMNS)}.")
    if rows.empty:
        raise DatasetError(f"{table} has no rows.")
    found: list[StructureInput] = []
    for number, value in enumerate(rows[column].str.strip(), start=1):
        name = f"{printable_path(table)} row {number}"
        if column == "formula":
            found.append(StructureInput(name, "", formula=value))
        elif "\n" in value or "\r" in value:
            found += _inputs_of(value, name)
        else:
            found += _listed_inputs(table.parent, value, name)
    return found


def _listed_inputs(folder: Path, file: str, row: str) -> list[StructureInput]:
    """The structures of a file that a table names.

    Files outside the table's folder are refused, as in a data set: a table from elsewhere must not
    choose what is read here.
    """
    try:
        path = (folder / file).resolve()
        if not file or not path.is_relative_to(folder.resolve()):
            raise CrystalError(f"'{file[:MAX_NAME]}' is not in the folder of the table.")
    except (CrystalError, OSError, ValueError) as error:
        return [StructureInput(row, "", _sentence(error))]
    return _file_inputs(folder / file)


def _sentence(error: Exception) -> str:
    if isinstance(error, CrystalError | DatasetError):
        return str(error)
    return f"The file cannot be read: {error_reason(error)}."
