"""Crystals as the rest of the project sees them, and the one place that reads CIF text."""

import hashlib
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element, Structure
from pymatgen.io.cif import CifParser

MAX_CIF_BYTES = 5_000_000
UNKNOWN = ("?", ".")  # how a CIF says that it does not say


class CrystalError(ValueError):
    """A crystal that cannot be used; the message is one sentence that says why."""


class DatasetError(ValueError):
    """A data set that cannot be used; the message says what to do."""


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
        return hashlib.sha256(self.cif.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Reject:
    """Something that could not be used, and why, in one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Material:
    """One distinct composition with all its structures: the unit that is split and counted."""

    id: str
    formula: str
    tc: float
    crystals: tuple[Crystal, ...]

    @property
    def chemsys(self) -> str:
        """The element set, e.g. ``Cu-La-O``."""
        return "-".join(sorted(el.symbol for el in Composition(self.formula).elements))

    @property
    def parents(self) -> frozenset[str]:
        """Ids of the undoped structures its crystals were derived from."""
        return frozenset(c.parent_id for c in self.crystals if c.parent_id)

    def structure_at(self, share: float) -> Crystal:
        """The structure at a point of [0, 1), where each takes up a part as large as its weight."""
        reach = np.cumsum([c.weight for c in self.crystals])
        return self.crystals[int(np.searchsorted(reach, share * reach[-1], side="right"))]


def group_materials(crystals: Iterable[Crystal]) -> list[Material]:
    """Crystals of equal composition as one material, in order of id.

    The material's Tc is the mean over its crystals' Tc, weighted by their ``weight``; its formula
    is that of its first crystal by id. Raises ValueError on a crystal without Tc.
    """
    members: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in crystals:
        if crystal.tc is None:
            raise ValueError(f"Crystal {crystal.id} has no Tc and cannot be trained or tested on.")
        members[crystal.material_id].append(crystal)
    materials = []
    for material_id, found in sorted(members.items()):
        found.sort(key=lambda c: c.id)
        tc = float(np.average([c.tc for c in found], weights=[c.weight for c in found]))
        materials.append(Material(material_id, found[0].formula, tc, tuple(found)))
    return materials


def take(materials: Sequence[Material], limit: int, seed: int) -> list[Material]:
    """The first ``limit`` materials after a seeded shuffle (all of them where limit is 0)."""
    if limit < 0:
        raise ValueError(f"limit must be 0 (all) or more, got {limit}.")
    key = {m.id: hashlib.sha256(f"limit:{seed}:{m.id}".encode()).digest() for m in materials}
    chosen = sorted(materials, key=lambda m: key[m.id])[: limit or None]
    return sorted(chosen, key=lambda m: m.id)


def material_key(formula: str) -> str:
    """Canonical text of a composition: atomic fractions to 4 decimals, elements in order.

    Amounts are taken as the exact decimals (or thirds, ...) they were written as, so that a
    fraction half-way between two texts rounds the same way however the formula is scaled.
    Raises CrystalError when the text is not a chemical formula.
    """
    refusal = f"'{str(formula)[:60]}' is not a chemical formula."
    try:
        found = Composition(formula)
        amounts = {el: Fraction(x).limit_denominator(10**6) for el, x in found.items()}
        shares = {el: float(round(x / sum(amounts.values()), 4)) for el, x in amounts.items()}
    except Exception as error:  # pymatgen raises many types for one fault
        raise CrystalError(refusal) from error
    if not shares or not all(isinstance(el, Element) for el in shares):
        raise CrystalError(refusal)
    return "-".join(sorted(f"{el.symbol}{share:.4f}" for el, share in shares.items()))


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
