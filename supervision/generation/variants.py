"""Variants of a parent crystal: one or two elements replaced by plausible ones, at some fractions.

    for variant in variants(parent, VariantOptions()): variant.structure()

The same parent gives the same variants in the same order, in whatever cell it is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

from supervision.data.errors import CrystalError
from supervision.data.substitution import site_elements
from supervision.generation.cells import Change, changed
from supervision.generation.replacements import replacements
from supervision.models.composition.charge import balanced_charges
from supervision.runtime.options import option

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMMETRY_TOLERANCE_ANGSTROM = 0.01
KEY_DECIMALS = 4  # of occupancies that tell structures apart
MOST_REPLACEMENTS = 2
Key = tuple[object, ...]


@dataclass(frozen=True)
class VariantOptions:
    """Which variants a parent has. Raises ValueError, naming the option, for a wrong value."""

    fractions: str = option("0.1,0.25,0.5,1", "fractions of an element that are replaced")
    replacements: int = option(1, "elements that are replaced at once: 1, or up to 2")
    plausibility: float = option(0.01, "the least plausibility of a replacement, 0 to 1")

    def __post_init__(self) -> None:
        if not self.steps or not all(0 < step <= 1 for step in self.steps):
            raise ValueError(f"fractions must be numbers over 0 up to 1, got '{self.fractions}'.")
        if not 1 <= self.replacements <= MOST_REPLACEMENTS:
            raise ValueError(f"replacements must be 1 or 2, got {self.replacements}.")
        if not 0 <= self.plausibility <= 1:
            raise ValueError(f"plausibility must be 0 to 1, got {self.plausibility:g}.")

    @property
    def steps(self) -> tuple[float, ...]:
        """The fractions without repetition, the smallest first; none where one is no number."""
        try:
            return tuple(sorted({float(part) for part in self.fractions.split(",")}))
        except ValueError:
            return ()


@dataclass(frozen=True, eq=False)
class Parent:
    """A crystal whose elements are replaced; its sites may be disordered."""

    id: str
    structure: "Structure"

    def changes(self, options: VariantOptions) -> list[Change]:
        """The single changes: each replacement at each fraction."""
        found = replacements(self.structure.composition, options.plausibility)
        return [(replacement, step) for replacement in found for step in options.steps]

    @cached_property
    def is_ionic(self) -> bool:
        """Whether the charges of its elements balance."""
        return balanced_charges(self.structure.composition) is not None

    @cached_property
    def orbits(self) -> tuple[int, dict[int, float]]:
        """The space group, and of each set of equivalent sites the first and its share of all.

        They do not depend on the cell in which the crystal is given. Raises CrystalError where
        there is no symmetry to be found.
        """
        from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

        try:
            analyzer = SpacegroupAnalyzer(self.structure, symprec=SYMMETRY_TOLERANCE_ANGSTROM)
            found = analyzer.get_symmetry_dataset()
        except Exception as error:  # spglib's and pymatgen's own
            raise CrystalError(
                "Its symmetry cannot be found; check that no two atoms coincide."
            ) from error
        first: dict[int, int] = {}
        for site, orbit in enumerate(found.crystallographic_orbits):
            first.setdefault(int(orbit), site)
        orbits = found.crystallographic_orbits.tolist()
        shares = {site: orbits.count(orbit) / len(orbits) for orbit, site in first.items()}
        return int(found.number), shares


@dataclass(frozen=True, eq=False)
class Variant:
    """A parent with its changes."""

    parent: Parent
    changes: tuple[Change, ...]

    @cached_property
    def structure(self) -> "Structure":
        """The crystal. Raises CrystalError where it cannot be made."""
        return changed(self.parent.structure, self.changes)

    @property
    def id(self) -> str:
        """The parent, and what was done: ``mp-1234_La-Sr0.25``, ``mp-1234_La-Sr`` where all is."""
        done = (
            f"_{host}-{dopant}{'' if fraction == 1 else f'{fraction:g}'}"
            for (host, dopant, *_), fraction in self.changes
        )
        return self.parent.id + "".join(done)

    @property
    def description(self) -> str:
        """What was done, for readers: ``La→Sr 0.25``."""
        return ", ".join(f"{r.host}→{r.dopant} {fraction:g}" for r, fraction in self.changes)

    @property
    def plausibility(self) -> float:
        """The product of those of its replacements."""
        return prod(replacement.plausibility for replacement, _ in self.changes)

    @property
    def source(self) -> str:
        """What says that the replacements are plausible."""
        return ", ".join(dict.fromkeys(replacement.source for replacement, _ in self.changes))

    @property
    def is_balanced(self) -> bool:
        """Whether its charges balance, if those of the parent do."""
        return not self.parent.is_ionic or bool(balanced_charges(self.structure.composition))

    @property
    def key(self) -> Key:
        """Equal for variants of equal composition and symmetry with equal atoms on equal orbits."""
        number, shares = self.parent.orbits
        orbits = (
            (round(share, KEY_DECIMALS), *sorted(_rounded(site_elements(self.structure[site]))))
            for site, share in shares.items()
        )
        return (number, *sorted(orbits))


def variants(parent: Parent, options: VariantOptions) -> Iterator[Variant]:
    """All variants of a parent: the single changes, then the pairs, each once.

    Left out are those of an ionic compound whose charges do not balance. Raises CrystalError where
    the symmetry of the parent cannot be found.
    """
    seen = {Variant(parent, ()).key}
    for changes in _combinations(parent.changes(options), options.replacements):
        variant = Variant(parent, changes)
        if variant.is_balanced and (key := variant.key) not in seen:
            seen.add(key)
            yield variant


def compatible(one: Change, other: Change) -> bool:
    """Whether two changes can be made together: neither touches what the other one replaces."""
    first, second = one[0], other[0]
    hosts = {first.host, second.host}
    return len(hosts) == 2 and not hosts & {first.dopant, second.dopant}


def _combinations(changes: Sequence[Change], most: int) -> Iterator[tuple[Change, ...]]:
    yield from ((change,) for change in changes)
    if most == MOST_REPLACEMENTS:
        yield from (pair for pair in combinations(changes, 2) if compatible(*pair))


def _rounded(amounts: dict[str, float]) -> Iterator[tuple[str, float]]:
    return ((symbol, round(x, KEY_DECIMALS)) for symbol, x in amounts.items())
