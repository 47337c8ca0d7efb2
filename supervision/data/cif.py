"""The one place that reads CIF text: gemmi's strict parser, then pymatgen's Structure.

    structure = parse_cif(text)

A text is read as it is meant or refused in one sentence; nothing in it is skipped or guessed. The
work is bounded by constants before it is done, so that no text takes longer than a crystal of
MAX_ATOMS does. Nothing global is touched: any number of threads may read at once.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np
from pymatgen.core import Composition, Element, Lattice, PeriodicSite, Structure

from supervision.data.cell_checks import MAX_ATOMS, MAX_EDGE, check_geometry
from supervision.data.cif_tags import ATOMS, BLOCK, UNKNOWN, Tags, read_tags
from supervision.data.errors import CrystalError
from supervision.data.symmetry import SYSTEMS, Symmetry, read_symmetry
from supervision.runtime.errors import one_line
from supervision.runtime.text import printable

MAX_CIF_BYTES = 2_000_000  # 300 times the longest of 3DSC; some papers embed a megabyte of data
MAX_ROWS = 2 * MAX_ATOMS  # of atoms: mixed sites have one an element
MAX_POSITIONS = 10_000  # rows times operations: the work; K3C60, 5 rows of Fm-3m, has 960
ANGLE_RANGE = (1.0, 179.0)  # degrees; beyond them a cell is flat, whatever its lengths
PAIRS_AT_ONCE = 100_000  # of images that are compared: 10 MB
MAX_COORDINATE = 100.0  # cells; a site farther out has lost the digits that say where it is

SAME_PLACE = 1e-4  # fractional, along each axis: pymatgen's, also for 0.3333 taken as 1/3
NOTHING = 1e-6  # occupancy; below it pymatgen's compositions hold no atom
FULL = 1.05  # occupancy; up to here more than 1 is rounding, and is scaled down to 1
TOO_NEAR = 0.5  # angstrom; sites nearer than this, of which both are full, are one, misread

LENGTHS, ANGLES = ("a", "b", "c"), ("alpha", "beta", "gamma")
CELL = {name: f"_cell_length_{name}" for name in LENGTHS} | {
    name: f"_cell_angle_{name}" for name in ANGLES
}
GIVEN = {  # cell parameters that a crystal system leaves free
    "cubic": ("a",),
    "tetragonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "orthorhombic": ("a", "b", "c"),
    "rhombohedral": ("a", "alpha"),
    "monoclinic": ("a", "b", "c", "beta"),
}
PLACE = (ATOMS, "_atom_site_fract_y", "_atom_site_fract_z")
LABEL, SYMBOL, OCCUPANCY = "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy"
HYDROGENS, FLAG = "_atom_site_attached_hydrogens", "_atom_site_calc_flag"
COLUMNS = (*PLACE, LABEL, SYMBOL, OCCUPANCY, HYDROGENS, FLAG)
UNSUPPORTED = {  # beginnings of tags that would make the atoms below them another crystal
    "a modulated structure": (
        "_cell_modulation", "_cell_wave_vector", "_space_group_ssg", "_space_group_symop_ssg",
    ),
    "magnetic symmetry in the place of a space group": (
        "_space_group_magn", "_space_group_symop_magn",
    ),
}  # fmt: skip

ELEMENTS = dict(Element.__members__)  # D and T among them
CHARGED = re.compile(r"([A-Z][a-z]?)(?:\d*\.?\d*[+-]{1,4}|[+-]\d*\.?\d*|\d*)")  # Cu, Cu2.33+, Cu+2
LABELLED = re.compile(r"([A-Z][a-z]?)(?:\d{0,4}|\d{1,4}[A-Da-d]|\(\d+\))(?:_.*|['\"*]*)")  # Cu1A


class Row(NamedTuple):
    """One row of the atom table: fractional coordinates, symbol, element and occupancy."""

    place: tuple[float, float, float]
    symbol: str
    element: Element
    occupancy: float


class Species(NamedTuple):
    """The atoms of a site, and where pymatgen puts it among the others."""

    atoms: Composition
    rank: tuple[float, str]


def parse_cif(text: str) -> Structure:
    """The first structure of a CIF text, in the cell the file gives, occupancies kept.

    Symmetry operations are applied and sites at one place merged as pymatgen does; charges, which
    no model reads, are dropped. Sites come in order of electronegativity.

    Raises CrystalError with one sentence where there is no crystal, or where it is not certain
    which one is meant.
    """
    _check_text(text)
    try:
        return _structure(read_tags(plain_text(text)))
    except CrystalError:
        raise
    except Exception as error:  # ours are ValueErrors; gemmi and pymatgen raise many types
        raise CrystalError(f"The CIF could not be read: {one_line(error)}.") from error


def plain_text(text: str) -> str:
    """Text the same from every kind of copy: no byte order mark, lines ended by ``\\n``."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _check_text(text: object) -> None:
    """Refuse what is no CIF, or too much of it."""
    missing = text is None or (not isinstance(text, str) and str(text) in ("nan", "<NA>"))
    if missing or (isinstance(text, str) and not text.strip()):
        raise CrystalError("The CIF text is empty; give the content of a .cif file.")
    if not isinstance(text, str):
        raise CrystalError(f"A CIF is text, not {printable(str(text)[:40])}.")
    if len(text) > MAX_CIF_BYTES:
        raise CrystalError(f"The CIF text is longer than {MAX_CIF_BYTES // 10**6} MB.")
    if "\x00" in text or not BLOCK.search(plain_text(text)):
        raise CrystalError("The text is not a CIF file: it has no data_ block.")


def _structure(tags: Tags) -> Structure:
    for what, beginnings in UNSUPPORTED.items():
        if any(tag.startswith(beginnings) for tag in tags.known):
            raise ValueError(f"it gives {what}, which is not supported")
    rows, lattice = _rows(tags), _lattice(tags)
    symmetry = read_symmetry(tags, lattice)
    count = len(symmetry.rotations)
    if len(rows) * count > MAX_POSITIONS:
        raise ValueError(
            f"{len(rows)} rows of atoms times {count} symmetry operations are more than "
            f"{MAX_POSITIONS:,} positions"
        )
    structure = _expanded(lattice, *_merged(rows, symmetry), symmetry)
    try:
        check_geometry(structure)
    except ValueError as error:
        raise CrystalError(str(error)) from error
    _check_apart(structure)
    return structure


def _number(text: str) -> float:
    """A CIF number, its uncertainty in brackets dropped; NaN where it is none."""
    return float(gemmi.cif.as_number(text))


# --- the cell


def _lattice(tags: Tags) -> Lattice:
    """The cell; where parameters are missing, that of the crystal system which gives them."""
    found = {name: tags.value(tag) for name, tag in CELL.items()}
    known = {name: _parameter(name, text) for name, text in found.items() if text is not None}
    if len(known) == len(CELL):
        return Lattice.from_parameters(*known.values())
    missing = next(tag for name, tag in CELL.items() if name not in known)
    system = next(filter(None, map(tags.value, SYSTEMS)), "").lower()
    free = GIVEN.get(system, tuple(CELL))
    if any(name not in known for name in free):
        raise ValueError(f"it has no {missing}")
    lattice = getattr(Lattice, system)(*(known[name] for name in free))
    for name, value in zip(CELL, lattice.parameters, strict=True):
        if abs(known.get(name, value) - value) > 1e-3:
            raise ValueError(f"its {name} is {known[name]:g}, which no {system} cell has")
    return lattice


def _parameter(name: str, text: str) -> float:
    value = _number(text)
    kind, unit, lowest, highest = (
        ("length", "angstrom", 0.0, MAX_EDGE)
        if name in LENGTHS
        else ("angle", "degrees", *ANGLE_RANGE)
    )
    if not lowest < value <= highest:
        raise ValueError(
            f"the cell {kind} {name} is '{printable(text[:40])}', and must be above {lowest:g} and "
            f"no more than {highest:g} {unit}"
        )
    return value


# --- the atoms


def _rows(tags: Tags) -> list[Row]:
    """The atom table; rows of no occupancy, where nothing is, are left out."""
    columns = _columns(tags)
    count = len(columns[ATOMS])
    if "dum" in columns[FLAG]:
        raise ValueError("it has dummy atoms, which are none; leave them out")
    symbols: Sequence[str | None] = columns[SYMBOL] or [None] * count
    rows = [
        _row(*cells)
        for cells in zip(
            columns[LABEL] or [f"number {row + 1}" for row in range(count)],
            symbols,
            zip(*(columns[tag] for tag in PLACE), strict=True),
            columns[OCCUPANCY] or ["1"] * count,
            columns[HYDROGENS] or ["0"] * count,
            strict=True,
        )
    ]
    found = [row for row in rows if row.occupancy > NOTHING]
    if not found:
        raise ValueError("every site has the occupancy 0, so it has no atoms")
    return found


def _columns(tags: Tags) -> dict[str, list[str]]:
    """The columns of the atom table by their tags; refused where one stands elsewhere."""
    count = len(tags.cells(ATOMS))
    if not count:
        raise ValueError(f"it has no {ATOMS}, so no atoms")
    if count > MAX_ROWS:
        raise ValueError(f"it has {count:,} rows of atoms, more than {MAX_ROWS:,}")
    loop = tags.beside(ATOMS)
    for tag in COLUMNS:
        if tag in tags.known and tag not in loop and (len(loop) > 1 or tags.beside(tag) != {tag}):
            raise ValueError(f"{tag} is not in the loop of {ATOMS}")
    if LABEL not in tags.known and SYMBOL not in tags.known:
        raise ValueError(f"it has no {SYMBOL}")
    columns = {tag: tags.cells(tag) for tag in COLUMNS}
    for tag in PLACE:
        if len(columns[tag]) != count:
            raise ValueError(f"it has no {tag}")
    return columns


def _row(
    label: str, symbol: str | None, place: Sequence[str], occupancy: str, hydrogens: str
) -> Row:
    site = f"site {printable(label[:40])}"
    element = _element(site, label, symbol)
    coordinates = tuple(map(_number, place))
    for axis, value, text in zip("xyz", coordinates, place, strict=True):
        if not abs(value) <= MAX_COORDINATE:
            raise ValueError(f"{site} has the coordinate {axis} '{printable(text[:40])}'")
    share = 1.0 if occupancy in UNKNOWN else _number(occupancy)  # 1 is the dictionary's default
    if not 0 <= share <= MAX_COORDINATE:
        raise ValueError(f"{site} has the occupancy '{printable(occupancy[:40])}'")
    if hydrogens not in UNKNOWN and _number(hydrogens) != 0:
        raise ValueError(f"{site} has hydrogen atoms attached; give them as sites of their own")
    x, y, z = map(_ideal, coordinates)
    return Row((x, y, z), symbol or element.name, element, share)


def _element(site: str, label: str, symbol: str | None) -> Element:
    """The element of a site by its symbol or, where the table has none, by its label."""
    kind, text = ("label", label) if symbol is None else ("symbol", symbol)
    if symbol is None:
        found = LABELLED.fullmatch(text)
    else:
        found = CHARGED.fullmatch(re.sub(r"[\s()]", "", text))
    if not found or found[1] not in ELEMENTS or (symbol is None and found[1] == "T"):
        raise ValueError(
            f"{site} has the {kind} '{printable(text[:40])}', which is no element; a mixed site "
            "takes a row an element, a vacancy is an occupancy below 1"
        )
    return ELEMENTS[found[1]]


def _ideal(x: float) -> float:
    """A coordinate such as 0.3333 as the third that it stands for."""
    return next((third for third in (1 / 3, 2 / 3) if abs(x / third - 1) <= SAME_PLACE), x)


# --- sites


def _merged(rows: Sequence[Row], symmetry: Symmetry) -> tuple[np.ndarray, list[Species]]:
    """Rows at one place, or at places that symmetry makes one, as sites of several species.

    Returns coordinates [k, 3] and species of the distinct rows. As in pymatgen a row joins the
    first that one of its images falls on, images in order of the operations.
    """
    places = np.array([row.place for row in rows])
    images = symmetry.images(places)  # [r, n, 3]
    kept = np.empty((min(len(rows), MAX_ATOMS), 3))
    sites: list[dict[str, Row]] = []
    for row, seen in zip(rows, images, strict=True):
        there = _near(seen[:, None], kept[None, : len(sites)])  # [n, k]
        if there.any():
            joined = sites[int(there[there.any(axis=1).argmax()].argmax())]
        elif len(sites) == MAX_ATOMS:
            raise _too_many()
        else:
            kept[len(sites)] = row.place
            sites.append(joined := {})
        if row.symbol in joined:
            raise ValueError(
                f"two rows of {row.symbol} are at one place, or at places that symmetry makes one"
            )
        joined[row.symbol] = row
    species = [tuple((row.element, row.occupancy) for row in site.values()) for site in sites]
    return kept[: len(sites)], [_species(shares) for shares in species]


@lru_cache(maxsize=10_000)
def _species(shares: tuple[tuple[Element, float], ...]) -> Species:
    """What is on a site, at most one atom."""
    total = sum(share for _, share in shares)
    if total > FULL:
        names = " and ".join(element.name for element, _ in shares)
        raise ValueError(f"the occupancy of a site with {names} is {total:g}, more than 1")
    amounts: dict[Element, float] = {}
    for element, share in shares:
        amounts[element] = amounts.get(element, 0.0) + share / max(total, 1)
    found = Composition(amounts)
    text = PeriodicSite(found, (0, 0, 0), Lattice.cubic(1)).species_string
    mean = sum(_electronegativity(element) * share for element, share in amounts.items()) / total
    return Species(found, (mean * max(total, 1), text))


def _electronegativity(element: Element) -> float:
    """Pauling's; 0 where there is none (pymatgen warns of those)."""
    value = element.data.get("X")
    return float(value) if isinstance(value, int | float) else 0.0


def _expanded(
    lattice: Lattice,
    places: np.ndarray,
    species: Sequence[Species],
    symmetry: Symmetry,
) -> Structure:
    """All sites of the cell: the distinct images of each place, by species."""
    order = sorted(range(len(species)), key=lambda i: species[i].rank)
    images = symmetry.images(places[order])  # [k, n, 3]
    images -= np.floor(images)
    count = images.shape[1]
    many = max(1, PAIRS_AT_ONCE // count**2)
    atoms, coordinates = [], []
    for at in range(0, len(order), many):
        some = images[at : at + many]
        same = _near(some[:, :, None], some[:, None])  # [many, n, n]
        first = same.argmax(axis=2) == np.arange(count)  # [many, n] one of each place
        for i, size in zip(order[at : at + many], first.sum(axis=1), strict=True):
            atoms += [species[i].atoms] * size
        coordinates.append(some[first])
        if len(atoms) > MAX_ATOMS:
            raise _too_many()
    return Structure(lattice, atoms, np.concatenate(coordinates))


def _near(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether places are the same up to whole cells, the last axis being x, y, z."""
    near = _near_along(one[..., 0], other[..., 0])
    for axis in (1, 2):
        if near.any():  # else two thirds of the work are saved
            near &= _near_along(one[..., axis], other[..., axis])
    return near


def _near_along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    apart = one - other
    return np.abs(apart - np.rint(apart)) < SAME_PLACE


def _check_apart(structure: Structure) -> None:
    """Refuse sites that are too near each other to be both there.

    A special position of too few digits, such as 0.333, is not made one by symmetry: its images lie
    a hundredth of an angstrom apart, and would be counted as so many atoms.
    """
    if len(structure) == 1:
        return
    places, lattice = structure.frac_coords, structure.lattice
    reach = TOO_NEAR * np.linalg.norm(lattice.inv_matrix, axis=0)  # [3] cells
    near = np.triu(np.ones((len(places), len(places)), dtype=bool), 1)
    for axis in np.argsort(reach):
        apart = places[:, None, axis] - places[None, :, axis]
        near &= np.abs(apart - np.rint(apart)) <= reach[axis]
    i, j = np.nonzero(near)
    apart = places[i] - places[j]
    distance = np.linalg.norm((apart - np.rint(apart)) @ lattice.matrix, axis=1)
    full = np.array([site.species.num_atoms for site in structure])
    wrong = np.flatnonzero((distance < TOO_NEAR) & (full[i] + full[j] > FULL))
    if len(wrong):
        one, other = (structure[int(pair[wrong[0]])].species_string for pair in (i, j))
        raise ValueError(
            f"two sites ({one} and {other}) are {distance[wrong[0]]:.2g} angstrom apart; give "
            "coordinates with more digits, or one site"
        )


def _too_many() -> CrystalError:
    return CrystalError(f"The cell holds more than {MAX_ATOMS:,} atoms.")
