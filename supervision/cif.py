"""The one place that reads CIF text."""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from supervision.crystals import CrystalError

MAX_CIF_BYTES = 5_000_000
UNKNOWN = ("?", ".")  # how a CIF says that it does not say


def parse_cif(text: str) -> Structure:
    """The first structure of a CIF text, in the cell the file gives, occupancies kept.

    Raises CrystalError with one sentence where there is none, or none that is a crystal.
    """
    if text is None or text != text or (isinstance(text, str) and not text.strip()):  # NaN is null
        raise CrystalError("The CIF text is empty; give the content of a .cif file.")
    if not isinstance(text, str):
        raise CrystalError(f"A CIF is text, not {str(text)[:40]}.")
    if len(text) > MAX_CIF_BYTES:
        raise CrystalError(f"The CIF text is longer than {MAX_CIF_BYTES // 10**6} MB.")
    if "\x00" in text or "data_" not in text.lower():
        raise CrystalError("The text is not a CIF file: it has no data_ block.")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            parser = CifParser.from_str(plain_text(text), occupancy_tolerance=1.05)
            structure = parser.parse_structures(primitive=False, check_occu=True)[0]
        except Exception as error:  # pymatgen raises many types for one fault
            reason = _reason(error, [str(note.message) for note in notes])
            raise CrystalError(f"The CIF could not be read: {reason}.") from error
    if not np.isfinite(structure.lattice.matrix).all():
        raise CrystalError("The CIF could not be read: its cell is not made of finite numbers.")
    for block in parser.as_dict().values():
        if isinstance(block.get("_atom_site_fract_x"), list):
            _check_block(block)
            break
    return structure


def plain_text(text: str) -> str:
    """Text the same from every kind of copy: no byte order mark, lines ended by ``\\n``."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _check_block(block: Mapping[str, Any]) -> None:
    """Refuse what pymatgen passes over in silence: a site left out is another crystal."""
    for axis in "abc":
        length = block.get(f"_cell_length_{axis}", "1")  # symmetry may give it
        if not _number(length) > 0:
            raise CrystalError(f"The CIF could not be read: the cell length {axis} is {length}.")
    rows = len(block["_atom_site_fract_x"])
    labels = block.get("_atom_site_label", [f"number {row + 1}" for row in range(rows)])
    symbols = block.get("_atom_site_type_symbol", labels)
    occupancies = block.get("_atom_site_occupancy", ["1"] * rows)
    for label, symbol, occupancy in zip(labels, symbols, occupancies, strict=True):
        if symbol in UNKNOWN or re.match(r"va(c|[^a-z]|$)", symbol, re.IGNORECASE):
            raise CrystalError(
                f"The CIF could not be read: site {label} has the symbol '{symbol}', which is no "
                "element; a vacancy is an occupancy below 1."
            )
        if occupancy not in UNKNOWN and not 0 <= _number(occupancy) < math.inf:
            raise CrystalError(
                f"The CIF could not be read: site {label} has the occupancy '{occupancy}'."
            )


def _number(text: str) -> float:
    """A CIF number, its uncertainty in brackets dropped; NaN where it is none."""
    try:
        return float(text.partition("(")[0])
    except ValueError:
        return math.nan


def _reason(error: Exception, notes: Sequence[str]) -> str:
    """Why pymatgen found no structure: it warns of the cause, then raises that there is none."""
    causes = [n.partition("\n")[2] for n in notes if n.startswith("No structure parsed")]
    cause = " ".join((causes[0] if causes else str(error)).split()).rstrip(".!")
    if cause.startswith("'_"):
        return f"it has no {cause.strip(chr(39))}"
    if not causes:
        return f"it is broken off, or holds no atoms in a cell ({cause or type(error).__name__})"
    return cause[:200]
