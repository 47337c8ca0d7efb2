"""Crystals as the rest of the project sees them, and the one place that reads CIF text."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property

from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifParser


class CrystalError(ValueError):
    """A crystal that cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class Crystal:
    """One structure of one material.

    Attributes:
        id: unique name within its data set (a file name, a database id).
        formula: composition as reported with the Tc, e.g. ``La1.85Sr0.15CuO4``.
        cif: the structure as CIF text; partial occupancies are kept.
        tc: critical temperature in kelvin, or None where it is not known.
        parent_id: id of the undoped structure this one was derived from, if known.
        weight: share of its material that this structure stands for (1 / number of structures).
    """

    id: str
    formula: str
    cif: str
    tc: float | None = None
    parent_id: str | None = None
    weight: float = 1.0

    @cached_property
    def structure(self) -> Structure:
        """The parsed structure. Raises CrystalError where the CIF cannot be read."""
        return parse_cif(self.cif)

    @cached_property
    def material_id(self) -> str:
        """The composition up to normalisation: equal for ``Nb3Sn`` and ``Nb6Sn2``."""
        return material_key(self.formula)

    @property
    def content_hash(self) -> str:
        """sha256 of the CIF text: the name of everything cached from it."""
        return hashlib.sha256(self.cif.encode()).hexdigest()


def material_key(formula: str) -> str:
    """Canonical text of a composition: atomic fractions to 4 decimals, elements in order.

    Raises CrystalError when the text is not a chemical formula.
    """
    try:
        composition = Composition(formula).fractional_composition
    except Exception as error:  # pymatgen raises many types for one fault
        raise CrystalError(f"'{formula}' is not a chemical formula.") from error
    parts = sorted((el.symbol, round(x, 4)) for el, x in composition.items())
    if not parts:
        raise CrystalError(f"'{formula}' is not a chemical formula.")
    return "-".join(f"{symbol}{fraction:.4f}" for symbol, fraction in parts)


def parse_cif(text: str) -> Structure:
    """The first structure of a CIF text, in the cell the file gives, occupancies kept.

    Raises CrystalError with one sentence where there is none.
    """
    if not isinstance(text, str) or not text.strip():
        raise CrystalError("The CIF text is empty; give the content of a .cif file.")
    if "\x00" in text or "data_" not in text.lower():
        raise CrystalError("The text is not a CIF file: it has no data_ block.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structures = CifParser.from_str(text, occupancy_tolerance=1.05).parse_structures(
                primitive=False, check_occu=True
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CrystalError(f"The CIF could not be read: {reason.rstrip('.')}.") from error
    return structures[0]
