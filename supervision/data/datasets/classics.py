"""The embedded data set: well-known materials, collected by hand in `classics.csv`.

It is a demonstration set, not a benchmark; docs/classics.md explains how entries are checked.
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

TABLE_PATH = Path(__file__).with_name("classics.csv")

# The free cell parameters of each crystal system; trigonal cells are in hexagonal axes.
FREE_PARAMETERS = {
    "cubic": ("a",),
    "tetragonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "trigonal": ("a", "c"),
    "orthorhombic": ("a", "b", "c"),
    "monoclinic": ("a", "b", "c", "beta"),
    "triclinic": ("a", "b", "c", "alpha", "beta", "gamma"),
}
SITE_PATTERN = re.compile(
    r"(?P<species>\S+) (?P<multiplicity>\d+)(?P<letter>[a-zA-Z]) (?P<xyz>\S+ \S+ \S+)"
)


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        id: short unique name.
        formula: composition as reported with the Tc.
        family: class of materials (A15, cuprate, metal, ...).
        prototype: structure type.
        space_group: Hermann-Mauguin symbol as pymatgen writes it; ``:2`` for origin choice 2.
        cell: the free cell parameters by name, in angstrom and degrees.
        sites: Wyckoff positions, such as ``La0.925Sr0.075 4e 0 0 0.3606; Cu 2a 0 0 0``.
        tc: critical temperature in kelvin at ambient pressure; 0 if none is known.
        parent: id of the undoped material of the same series, or None.
        source: the literature source of the Tc, or a statement that it is not verified.
        note: remarks; often empty.
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
    """The rows of `classics.csv`, in file order."""
    with TABLE_PATH.open(newline="", encoding="utf-8") as file:
        return [_entry(row) for row in csv.DictReader(file)]


def load_classics() -> list[Crystal]:
    """Every entry as a Crystal, in file order.

    A parent has its own id as `parent_id`, so that it is in one family with its series. Raises
    CrystalError, with one sentence that names the row, if an entry is wrong.
    """
    entries = read_table()
    parents = {entry.parent for entry in entries if entry.parent}
    unknown = parents - {entry.id for entry in entries}
    if unknown:
        raise CrystalError(f"classics.csv names parents that it lacks: {sorted(unknown)}.")
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
    """The conventional cell of an entry, with partial occupancies and vacancies.

    Raises CrystalError, with one sentence that names the row, if a site cannot be read, its
    occupancies exceed 1, or its multiplicity differs from the one in the row (a wrong coordinate,
    or the other origin choice of the space group).
    """
    group = _space_group(entry.space_group)
    lattice = _lattice(entry, group.crystal_system)
    species, coords = [], []
    for text in entry.sites.split("; "):
        match = SITE_PATTERN.fullmatch(text)
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
    """Cached, because pymatgen takes up to 0.4 s for one cubic group."""
    with warnings.catch_warnings():
        # The warning says that a non-standard setting has no full symbol; it is not needed here.
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
    """The cell, completed with the parameters that the crystal system fixes."""
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
