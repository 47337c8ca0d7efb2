"""The embedded data set: well-known materials, written by hand in `classics.csv`.

A demonstration set, not a benchmark; docs/classics.md says how an entry is written and checked.
"""

import csv
import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

from pymatgen.core import Composition, Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError

TABLE = Path(__file__).with_name("classics.csv")

# The cell parameters that each crystal system leaves free; trigonal is in hexagonal axes.
FREE_PARAMETERS = {
    "cubic": ("a",),
    "tetragonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "trigonal": ("a", "c"),
    "orthorhombic": ("a", "b", "c"),
    "monoclinic": ("a", "b", "c", "beta"),
    "triclinic": ("a", "b", "c", "alpha", "beta", "gamma"),
}
SITE = re.compile(
    r"(?P<species>\S+) (?P<multiplicity>\d+)(?P<letter>[a-zA-Z]) (?P<xyz>\S+ \S+ \S+)"
)


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        id: short unique name.
        formula: composition as reported with the Tc.
        family: what a chemist would file it under (A15, cuprate, metal, ...).
        prototype: structure type.
        space_group: Hermann-Mauguin symbol in pymatgen's writing, ``:2`` for origin choice 2.
        cell: the free cell parameters by name, in angstrom and degrees.
        sites: Wyckoff positions, as in ``La0.925Sr0.075 4e 0 0 0.3606; Cu 2a 0 0 0``.
        tc: critical temperature in kelvin at ambient pressure, 0 where none is known.
        parent: id of the undoped material of the same series, or None.
        source: literature the Tc was taken from, or that it is not verified.
        note: what else a reader should know; often empty.
    """

    id: str
    formula: str
    family: str
    prototype: str
    space_group: str
    cell: dict[str, float]
    sites: str
    tc: float
    parent: str | None
    source: str
    note: str


def read_table() -> list[Entry]:
    """The rows of `classics.csv`, in their order."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [_entry(row) for row in csv.DictReader(file)]


def load_classics() -> list[Crystal]:
    """Every entry as a Crystal, in the order of the table.

    A parent carries its own id as `parent_id`, so that it is one family with its series.
    Raises CrystalError, with one sentence that names the row, where an entry is wrong.
    """
    entries = read_table()
    parents = {entry.parent for entry in entries if entry.parent}
    unknown = parents - {entry.id for entry in entries}
    if unknown:
        raise CrystalError(f"classics.csv names parents that it does not hold: {sorted(unknown)}.")
    return [
        Crystal(
            id=entry.id,
            formula=entry.formula,
            cif=build_structure(entry).to(fmt="cif"),
            tc=entry.tc,
            parent_id=entry.parent or (entry.id if entry.id in parents else None),
        )
        for entry in entries
    ]


def build_structure(entry: Entry) -> Structure:
    """The conventional cell of an entry, partial occupancies and vacancies kept.

    Raises CrystalError, with one sentence that names the row, where a site cannot be read, its
    occupancies exceed 1, or symmetry makes another number of sites of it than the row states
    (a slip in a coordinate, or the other origin choice of the space group).
    """
    group = _space_group(entry.space_group)
    lattice = _lattice(entry, group.crystal_system)
    species, coords = [], []
    for text in entry.sites.split("; "):
        match = SITE.fullmatch(text)
        if match is None:
            raise CrystalError(f"classics row '{entry.id}': site '{text}' cannot be read.")
        occupancies = Composition(match["species"])
        if occupancies.num_atoms > 1 + 1e-8:
            raise CrystalError(f"classics row '{entry.id}': occupancies of site '{text}' exceed 1.")
        orbit = group.get_orbit([float(Fraction(x)) for x in match["xyz"].split()])
        if len(orbit) != int(match["multiplicity"]):
            raise CrystalError(
                f"classics row '{entry.id}': site '{text}' has multiplicity {len(orbit)} "
                f"in {entry.space_group}."
            )
        species += [occupancies] * len(orbit)
        coords += orbit
    return Structure(lattice, species, coords)


@cache
def _space_group(symbol: str) -> SpaceGroup:
    """Cached: pymatgen takes up to 0.4 s over one cubic group."""
    with warnings.catch_warnings():
        # It warns that a non-standard setting has no full symbol, which nothing here reads.
        warnings.simplefilter("ignore")
        return SpaceGroup(symbol)


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        id=row["id"],
        formula=row["formula"],
        family=row["family"],
        prototype=row["prototype"],
        space_group=row["space_group"],
        cell={name: float(row[name]) for name in FREE_PARAMETERS["triclinic"] if row[name]},
        sites=row["sites"],
        tc=float(row["tc"]),
        parent=row["parent"] or None,
        source=row["source"],
        note=row["note"],
    )


def _lattice(entry: Entry, crystal_system: str) -> Lattice:
    """The cell in angstrom and degrees, what the crystal system fixes filled in."""
    free = FREE_PARAMETERS[crystal_system]
    if tuple(entry.cell) != free:
        raise CrystalError(
            f"classics row '{entry.id}': a {crystal_system} cell takes {', '.join(free)}, "
            f"not {', '.join(entry.cell)}."
        )
    angle = 120.0 if crystal_system in ("hexagonal", "trigonal") else 90.0
    length = entry.cell["a"]
    fixed = {"b": length, "c": length, "alpha": 90.0, "beta": 90.0, "gamma": angle}
    cell = fixed | entry.cell
    a, b, c, alpha, beta, gamma = (cell[name] for name in FREE_PARAMETERS["triclinic"])
    return Lattice.from_parameters(a, b, c, alpha, beta, gamma)
