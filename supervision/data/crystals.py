"""Crystals, materials and data sets as the rest of the project sees them.

What is read from an archive needs no pymatgen: it parses CIF text (``supervision.data.cif``) and
formulas, and where neither is asked for it may be missing.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.errors import CrystalError, DatasetError

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_LOST = 0.05
Arrays = Mapping[str, np.ndarray]


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
        prepared: what an archive brought of it, by the name of its recipe.
    """

    id: str
    formula: str
    cif: str
    tc: float | None = None
    parent_id: str | None = None
    weight: float = 1.0
    prepared: Mapping[str, Arrays] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def structure(self) -> "Structure":
        """The parsed structure. Raises CrystalError where the CIF cannot be read."""
        from supervision.data.cif import parse_cif

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
        from pymatgen.core import Composition

        return "-".join(sorted(el.symbol for el in Composition(self.formula).elements))

    @property
    def parents(self) -> frozenset[str]:
        """Ids of the undoped structures its crystals were derived from."""
        return frozenset(c.parent_id for c in self.crystals if c.parent_id)

    def structure_at(self, share: float) -> Crystal:
        """The structure at a point of [0, 1), where each takes up a part as large as its weight."""
        reach = np.cumsum([c.weight for c in self.crystals])
        return self.crystals[int(np.searchsorted(reach, share * reach[-1], side="right"))]


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


def group_materials(
    crystals: Iterable[Crystal], id_of: Callable[[Crystal], str] = lambda c: c.material_id
) -> list[Material]:
    """Crystals of equal composition (or what ``id_of`` says) as one material, in order of id.

    The material's Tc is the mean over its crystals' Tc, weighted by their ``weight``; its formula
    is that of its first crystal by id. Raises ValueError on a crystal without Tc.
    """
    members: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in crystals:
        if crystal.tc is None:
            raise ValueError(f"Crystal {crystal.id} has no Tc and cannot be trained or tested on.")
        members[id_of(crystal)].append(crystal)
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
    from pymatgen.core import Composition, Element

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
