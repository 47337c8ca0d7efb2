"""The types for crystals, materials and data sets.

pymatgen is needed only to parse CIF text (``supervision.data.cif``) and formulas, so crystals from
an archive work without it.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.errors import CrystalError, DatasetError
from supervision.data.quantity import TC, Quantity
from supervision.runtime.text import printable

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

MAX_REJECTED_FRACTION = 0.05  # of the rows of a data set, unless allow_loss=true
MAX_FORMULA_CHARACTERS = 1_000  # pymatgen takes seconds for 100,000
VARIABLE = re.compile(r"[-+]([a-zδ])(?![a-z])")  # of a formula, as in YBa2Cu3O7-x
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Crystal:
    """One structure of one material.

    Attributes:
        id: unique name within the data set (a file name or a database id).
        formula: composition as reported with the Tc, e.g. ``La1.85Sr0.15CuO4``.
        cif: the structure as CIF text, with partial occupancies; empty if only the formula is
            known.
        tc: critical temperature in kelvin or, in a data set of another quantity, its value; None if
            unknown.
        parent_id: id of the undoped structure that this one was derived from, if known.
        weight: weight of this structure within its material (1 / number of structures).
        features: features from an archive, by the name of the featurizer.
    """

    id: str
    formula: str
    cif: str
    tc: float | None = None
    parent_id: str | None = None
    weight: float = 1.0
    features: Mapping[str, Arrays] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def structure(self) -> "Structure":
        """The parsed structure. Raises CrystalError if the CIF text cannot be read."""
        from supervision.data.cif import parse_cif

        return parse_cif(self.cif)

    @cached_property
    def composition(self) -> "Composition":
        """The composition of the structure or, without a structure, of the formula.

        Raises CrystalError if neither can be read.
        """
        has_structure = self.cif or not self.formula
        return self.structure.composition if has_structure else parse_formula(self.formula)

    @cached_property
    def material_id(self) -> str:
        """The normalised composition (``material_key``): equal for ``Nb3Sn`` and ``Nb6Sn2``."""
        return material_key(self.formula)

    @property
    def content_hash(self) -> str:
        """sha256 of the CIF text or, without one, of the formula; names the cache entries."""
        content = self.cif or f"formula {self.formula}"
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Reject:
    """A row or file that cannot be used, with the reason in one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Material:
    """One composition with all its structures: the unit of splits and of metrics.

    Attributes:
        source: the source of a material that is only trained on; empty in the data set itself.
        weight: its weight in the training.
        is_computed: whether its Tc is computed, not measured.
        quantity: what ``tc`` is a value of.
    """

    id: str
    formula: str
    tc: float
    crystals: tuple[Crystal, ...]
    source: str = ""
    weight: float = 1.0
    is_computed: bool = False
    quantity: Quantity = TC

    @property
    def is_unreported(self) -> bool:
        """Whether its value is a measured Tc of 0, which says that none was reported."""
        return self.tc == 0 and not self.is_computed and self.quantity.is_tc

    @property
    def chemsys(self) -> str:
        """The chemical system (element set), e.g. ``Cu-La-O``."""
        from pymatgen.core import Composition

        return "-".join(sorted(el.symbol for el in Composition(self.formula).elements))

    @property
    def parents(self) -> frozenset[str]:
        """Ids of the undoped structures that its crystals were derived from."""
        return frozenset(c.parent_id for c in self.crystals if c.parent_id)

    def structure_at(self, share: float) -> Crystal:
        """The structure at a quantile in [0, 1) of the cumulative weights.

        A uniformly random ``share`` selects each structure with probability equal to its weight.
        """
        cumulative = np.cumsum([c.weight for c in self.crystals])
        index = np.searchsorted(cumulative, share * cumulative[-1], side="right")
        return self.crystals[int(index)]


@dataclass(frozen=True)
class Dataset:
    """Crystals with a known Tc, and the rejected rows with their reasons."""

    name: str
    crystals: tuple[Crystal, ...]
    rejects: tuple[Reject, ...] = ()

    @property
    def hash(self) -> str:
        """sha256 over id, formula, Tc, parent, weight and CIF hash of every crystal, by id."""
        digest = hashlib.sha256()
        for c in sorted(self.crystals, key=lambda c: c.id):
            line = f"{c.id}|{c.formula}|{c.tc!r}|{c.parent_id}|{c.weight!r}|{c.content_hash}\n"
            digest.update(line.encode())
        return digest.hexdigest()

    def without(self, rejects: Iterable[Reject]) -> "Dataset":
        """This data set with the crystals named in ``rejects`` moved to its rejects."""
        rejects = tuple(rejects)
        rejected_ids = {reject.name for reject in rejects}
        kept = tuple(c for c in self.crystals if c.id not in rejected_ids)
        return Dataset(self.name, kept, self.rejects + rejects)

    def check_loss(self, *, allow_loss: bool = False) -> None:
        """Raise DatasetError if no crystal is left, or if more than 5% are rejected.

        ``allow_loss`` permits any rejected fraction below 100%.
        """
        rows = len(self.crystals) + len(self.rejects)
        if not self.crystals:
            example = f" The first reject: {self.rejects[0].reason}" if self.rejects else ""
            raise DatasetError(
                f"No crystal of {self.name} can be used; correct its rows or choose another data "
                f"set.{example}"
            )
        if len(self.rejects) > MAX_REJECTED_FRACTION * rows and not allow_loss:
            first = self.rejects[0]
            raise DatasetError(
                f"{len(self.rejects)} of {rows} rows of {self.name} cannot be used, more than "
                f"{MAX_REJECTED_FRACTION:.0%} (the first: {first.name}: {first.reason}) "
                "Correct them, or pass allow_loss=true to continue without them."
            )


def group_materials(
    crystals: Iterable[Crystal],
    id_of: Callable[[Crystal], str] = lambda c: c.material_id,
    *,
    quantity: Quantity = TC,
) -> list[Material]:
    """Group crystals of equal composition into materials, sorted by id.

    A material's Tc is the mean of its crystals' Tc weighted by their ``weight``; its formula is
    that of its first crystal by id.

    Args:
        id_of: the material id of a crystal; by default its normalised composition.
        quantity: what ``tc`` of the crystals is a value of.

    Raises ValueError for a crystal without Tc.
    """
    members: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in crystals:
        if crystal.tc is None:
            raise ValueError(f"Crystal {crystal.id} has no Tc; training and testing need one.")
        members[id_of(crystal)].append(crystal)
    materials = []
    for material_id, found in sorted(members.items()):
        found.sort(key=lambda c: c.id)
        tc = float(np.average([c.tc for c in found], weights=[c.weight for c in found]))
        formula = found[0].formula
        materials.append(Material(material_id, formula, tc, tuple(found), quantity=quantity))
    return materials


def sample_materials(materials: Sequence[Material], limit: int, seed: int) -> list[Material]:
    """The first ``limit`` materials of a seeded shuffle, sorted by id; all of them for 0.

    Raises ValueError for a negative limit.
    """
    if limit < 0:
        raise ValueError(f"limit must be 0 (all) or more, got {limit}.")
    key = {m.id: hashlib.sha256(f"limit:{seed}:{m.id}".encode()).digest() for m in materials}
    chosen = sorted(materials, key=lambda m: key[m.id])[: limit or None]
    return sorted(chosen, key=lambda m: m.id)


def material_key(formula: str) -> str:
    """The normalised composition: elements in order with atomic fractions to 4 decimals.

    Amounts are read as exact fractions, so that rounding does not depend on the scale of the
    formula. Raises CrystalError if the text is not a chemical formula.
    """
    found = parse_formula(formula)
    amounts = {el: Fraction(x).limit_denominator(10**6) for el, x in found.items()}
    fractions = {el: float(round(x / sum(amounts.values()), 4)) for el, x in amounts.items()}
    return "-".join(sorted(f"{el.symbol}{x:.4f}" for el, x in fractions.items()))


def parse_formula(formula: str) -> "Composition":
    """The composition that a formula means. Raises CrystalError if it is not one."""
    from pymatgen.core import Composition, Element

    unknown = VARIABLE.search(str(formula))
    advice = f"; give {unknown[1]} a number" if unknown else ""
    message = f"'{printable(str(formula)[:60])}' is not a chemical formula{advice}."
    if not isinstance(formula, str):
        raise CrystalError(message)
    if len(formula) > MAX_FORMULA_CHARACTERS:
        raise CrystalError(f"The formula is longer than {MAX_FORMULA_CHARACTERS:,} characters.")
    try:
        found = Composition(formula)
        amounts = [Fraction(x).limit_denominator(10**6) for x in found.values()]
    except Exception as error:  # pymatgen raises many types
        raise CrystalError(message) from error
    if sum(amounts) <= 0 or not all(isinstance(el, Element) for el in found):
        raise CrystalError(message)
    return found
