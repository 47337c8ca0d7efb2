"""Candidates of Parquet tables and ASE databases, some rows at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from sqlite3 import DatabaseError
from typing import TYPE_CHECKING, Any

from supervision.data.cif_writer import atoms_to_cif
from supervision.data.errors import CrystalError, DatasetError, crystal_errors
from supervision.runtime.errors import one_line
from supervision.runtime.files import printable_path
from supervision.runtime.text import printable
from supervision.screening.sources.candidate import HULL_NAMES, Candidate, hull_energy

if TYPE_CHECKING:
    from ase.db.row import AtomsRow

ROWS_AT_ONCE = 500
CIF, FORMULA = "cif", "formula"
ID_NAMES = ("id", "material_id", "name")


def parquet_candidates(path: Path, name: str) -> Iterator[Candidate]:
    """The rows of a table with a column ``cif`` (CIF text) or ``formula``.

    Their ids are in a column ``id``, ``material_id`` or ``name``, else they are row numbers.
    Raises DatasetError for a file that is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow.names)
            row = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                for cells in zip(*batch.columns, strict=True):
                    row += 1
                    yield _row(
                        dict(zip(batch.schema.names, cells, strict=True)), f"{name} row {row}"
                    )
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{printable_path(path)} is damaged or not a Parquet table ({one_line(error)})."
        ) from error


def _columns(path: Path, names: list[str]) -> list[str]:
    """The columns that are read."""
    if CIF not in names and FORMULA not in names:
        raise DatasetError(
            f"{printable_path(path)} has neither a column {CIF} nor {FORMULA}; it has "
            f"{', '.join(map(printable, names[:8]))}."
        )
    wanted = (*[name for name in ID_NAMES if name in names][:1], CIF, FORMULA, *HULL_NAMES)
    return [name for name in wanted if name in names]


def _row(cells: Mapping[str, Any], number: str) -> Candidate:
    """A row of Arrow cells."""
    try:
        values = {name: cell.as_py() for name, cell in cells.items()}
    except UnicodeDecodeError:
        return Candidate(number, error="The row is not text in UTF-8.")
    id = next((values[name] for name in ID_NAMES if values.get(name) is not None), number)
    cif, formula = (values.get(name) or "" for name in (CIF, FORMULA))
    if not isinstance(cif, str) or not isinstance(formula, str):
        return Candidate(printable(str(id)), error="The CIF and the formula must be text.")
    return Candidate(
        printable(str(id)), cif, "" if cif or formula else "The row has no structure.",
        "" if cif else formula, hull_energy(values),
    )  # fmt: skip


def ase_candidates(path: Path, name: str) -> Iterator[Candidate]:
    """The rows of an ASE database, by their ids. Raises DatasetError for another file."""
    import ase.db

    try:
        database, last = ase.db.connect(path, type="db"), 0
        while rows := list(database.select(f"id>{last}", sort="id", limit=ROWS_AT_ONCE)):
            yield from (_ase_row(row, name) for row in rows)
            last = rows[-1].id
    except (DatabaseError, OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{printable_path(path)} is damaged or not an ASE database ({one_line(error)})."
        ) from error


def _ase_row(row: "AtomsRow", name: str) -> Candidate:
    known = next((row.get(key) for key in ID_NAMES[1:] if row.get(key)), f"{name} {row.id}")
    id = printable(str(known))
    try:
        with crystal_errors():
            cif = atoms_to_cif(row.toatoms())
            return Candidate(id, cif, energy_above_hull=hull_energy(row.key_value_pairs))
    except CrystalError as error:
        return Candidate(id, error=str(error))
