"""Candidates of extxyz files: a frame at a time, so that a bad one costs no other."""

import io
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from supervision.data.cell_checks import MAX_ATOMS
from supervision.data.cif_writer import atoms_to_cif
from supervision.data.errors import CrystalError, crystal_errors
from supervision.screening.sources.candidate import Candidate, hull_energy

MAX_LINE_BYTES = 1_000_000  # of a line; that of a frame's properties is the longest
ID_NAMES = ("id", "material_id", "name")


def extxyz_candidates(path: Path, name: str) -> Iterator[Candidate]:
    """The frames of a file; those with an id among their properties have it as their name."""
    with path.open("rb") as file:
        yield from frame_candidates(file, name)


def frame_candidates(file: IO[bytes], name: str) -> Iterator[Candidate]:
    """The frames of an open file. What follows a fault in the counts of atoms is one reject."""
    for number in itertools.count(1):
        frame = f"{name} ({number})"
        try:
            text = _next_frame(file)
        except CrystalError as error:
            yield Candidate(frame, error=f"{error} The rest of the file is not read.")
            return
        if text is None:
            return
        yield _candidate(text, frame)


def _next_frame(file: IO[bytes]) -> str | None:
    """The text of the next frame; None at the end. Raises CrystalError where there is no count."""
    line = file.readline(MAX_LINE_BYTES)
    while line.isspace():
        line = file.readline(MAX_LINE_BYTES)
    if not line:
        return None
    try:
        count = int(line)
    except ValueError as error:
        shown = line[:40].decode(errors="replace").strip()
        raise CrystalError(f"A line that must give a number of atoms is '{shown}'.") from error
    rows = [file.readline(MAX_LINE_BYTES)]  # cell and properties
    for read in range(count):  # of a frame that is too large, lines are read and dropped
        row = file.readline(MAX_LINE_BYTES)
        if not row:
            raise CrystalError(f"The file ends after {read} of the {count} atoms of a frame.")
        if read <= MAX_ATOMS:
            rows.append(row)
    return b"".join([line, *rows]).decode(errors="replace")


def _candidate(text: str, frame: str) -> Candidate:
    from ase.io.extxyz import read_xyz

    count = int(text.partition("\n")[0])
    if count > MAX_ATOMS:
        return Candidate(frame, error=f"The cell holds more than {MAX_ATOMS:,} atoms.")
    try:
        with crystal_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns of what no model reads
            (atoms,) = read_xyz(io.StringIO(text), index=slice(None))
            known = next((str(atoms.info[key]) for key in ID_NAMES if key in atoms.info), frame)
            return Candidate(known, atoms_to_cif(atoms), energy_above_hull=hull_energy(atoms.info))
    except CrystalError as error:
        return Candidate(frame, error=str(error))
