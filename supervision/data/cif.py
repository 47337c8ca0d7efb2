"""Reading CIF text: gemmi's strict parser, then pymatgen's Structure.

    structure = parse_cif(text)

A text is read completely or refused with one sentence; nothing is skipped or guessed. Constants
bound the work in advance, so that no text takes longer than a crystal of MAX_ATOMS. No global state
is changed, so any number of threads can read at once.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np
from pymatgen.core import Composition, Element, Lattice, PeriodicSite, Structure

from supervision.data.cell_checks import MAX_ATOMS, MAX_EDGE_ANGSTROM, check_geometry
from supervision.data.cif_tags import ATOM_X_TAG, BLOCK_START, UNKNOWN_VALUES, Tags, read_tags
from supervision.data.errors import CrystalError
from supervision.data.symmetry import CRYSTAL_SYSTEM_TAGS, Symmetry, read_symmetry
from supervision.runtime.errors import one_line
from supervision.runtime.text import printable

MAX_CIF_BYTES = 2_000_000  # 300 times the longest in 3DSC; some files embed a megabyte of data
MAX_ATOM_ROWS = 2 * MAX_ATOMS  # a mixed site has one row per element
MAX_POSITIONS = 10_000  # rows times symmetry operations; K3C60, 5 rows in Fm-3m, has 960
ANGLE_RANGE_DEGREES = (1.0, 179.0)  # outside it a cell is flat for any lengths
PAIRS_PER_CHUNK = 100_000  # pairs of images that are compared at once, 10 MB
MAX_FRACTIONAL_COORDINATE = 100.0  # a larger one has too few decimals to locate the site

SAME_SITE_TOLERANCE = 1e-4  # fractional, per axis, as in pymatgen; also for 0.3333 read as 1/3
MIN_OCCUPANCY = 1e-6  # below it pymatgen's compositions drop the atom
MAX_OCCUPANCY = 1.05  # an excess up to here is rounding, and is scaled down to 1
MAX_GIVEN_OCCUPANCY = 100.0  # of one row; a larger number is not an occupancy
MIN_SITE_DISTANCE_ANGSTROM = 0.5  # two fully occupied sites that are closer are one misread site

LENGTH_NAMES, ANGLE_NAMES = ("a", "b", "c"), ("alpha", "beta", "gamma")
CELL_TAGS = {name: f"_cell_length_{name}" for name in LENGTH_NAMES} | {
    name: f"_cell_angle_{name}" for name in ANGLE_NAMES
}
FREE_CELL_PARAMETERS = {  # by crystal system
    "cubic": ("a",),
    "tetragonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "orthorhombic": ("a", "b", "c"),
    "rhombohedral": ("a", "alpha"),
    "monoclinic": ("a", "b", "c", "beta"),
}
COORDINATE_TAGS = (ATOM_X_TAG, "_atom_site_fract_y", "_atom_site_fract_z")
LABEL_TAG, SYMBOL_TAG = "_atom_site_label", "_atom_site_type_symbol"
OCCUPANCY_TAG = "_atom_site_occupancy"
HYDROGENS_TAG, CALC_FLAG_TAG = "_atom_site_attached_hydrogens", "_atom_site_calc_flag"
ATOM_TAGS = (*COORDINATE_TAGS, LABEL_TAG, SYMBOL_TAG, OCCUPANCY_TAG, HYDROGENS_TAG, CALC_FLAG_TAG)
UNSUPPORTED_TAGS = {  # prefixes of tags that change the meaning of the atom table
    "a modulated structure": (
        "_cell_modulation", "_cell_wave_vector", "_space_group_ssg", "_space_group_symop_ssg",
    ),
    "magnetic symmetry instead of a space group": (
        "_space_group_magn", "_space_group_symop_magn",
    ),
}  # fmt: skip

ELEMENTS_BY_SYMBOL = dict(Element.__members__)  # includes D and T
# Cu, Cu2.33+, Cu+2
SYMBOL_PATTERN = re.compile(r"([A-Z][a-z]?)(?:\d*\.?\d*[+-]{1,4}|[+-]\d*\.?\d*|\d*)")
# Cu1A
LABEL_PATTERN = re.compile(r"([A-Z][a-z]?)(?:\d{0,4}|\d{1,4}[A-Da-d]|\(\d+\))(?:_.*|['\"*]*)")


class AtomRow(NamedTuple):
    """One row of the atom table, with fractional coordinates."""

    position: tuple[float, float, float]
    symbol: str
    element: Element
    occupancy: float


class SiteSpecies(NamedTuple):
    """The composition of a site, and its sort key among the sites as in pymatgen."""

    composition: Composition
    sort_key: tuple[float, str]


def parse_cif(text: str) -> Structure:
    """The first structure of a CIF text, in the cell of the file, with partial occupancies.

    Symmetry operations are applied and coinciding sites are merged as in pymatgen. Charges are
    dropped, because no model uses them. Sites are sorted by electronegativity.

    Raises CrystalError with one sentence if the text holds no crystal or is ambiguous.
    """
    if not is_cif(check_text(text)):
        raise CrystalError("The text is not a CIF file: it has no data_ block.")
    try:
        return _build_structure(read_tags(plain_text(text)))
    except CrystalError:
        raise
    except Exception as error:  # ValueError from here; gemmi and pymatgen raise many types
        raise CrystalError(f"The CIF could not be read: {one_line(error)}.") from error


def plain_text(text: str) -> str:
    """The text without byte order mark and with ``\\n`` as line ends."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def check_text(given: object) -> str:
    """The text of a crystal. Raises CrystalError for what is no text, empty or too long."""
    missing = given is None or (not isinstance(given, str) and str(given) in ("nan", "<NA>"))
    if missing or (isinstance(given, str) and not given.strip()):
        raise CrystalError("The CIF text is empty; give the content of a .cif file.")
    if not isinstance(given, str):
        raise CrystalError(f"A CIF must be text, not {printable(str(given)[:40])}.")
    if len(given) > MAX_CIF_BYTES:
        raise CrystalError(f"The CIF text is longer than {MAX_CIF_BYTES // 10**6} MB.")
    return given


def is_cif(text: str) -> bool:
    """Whether a text has a data block."""
    return "\x00" not in text and BLOCK_START.search(plain_text(text)) is not None


def _build_structure(tags: Tags) -> Structure:
    for what, prefixes in UNSUPPORTED_TAGS.items():
        if any(tag.startswith(prefixes) for tag in tags.names):
            raise ValueError(f"it gives {what}, which is not supported")
    rows, lattice = _atom_rows(tags), _lattice(tags)
    symmetry = read_symmetry(tags, lattice)
    count = len(symmetry.rotations)
    if len(rows) * count > MAX_POSITIONS:
        raise ValueError(
            f"{len(rows)} rows of atoms times {count} symmetry operations give more than "
            f"{MAX_POSITIONS:,} positions"
        )
    structure = _expand_sites(lattice, *_merge_sites(rows, symmetry), symmetry)
    try:
        check_geometry(structure)
    except ValueError as error:
        raise CrystalError(str(error)) from error
    _check_site_distances(structure)
    return structure


def _parse_number(text: str) -> float:
    """A CIF number without its standard uncertainty; NaN if the text is not a number."""
    return float(gemmi.cif.as_number(text))


# --- the cell


def _lattice(tags: Tags) -> Lattice:
    """The cell; the crystal system completes missing parameters that it fixes."""
    found = {name: tags.value(tag) for name, tag in CELL_TAGS.items()}
    known = {name: _cell_parameter(name, text) for name, text in found.items() if text is not None}
    if len(known) == len(CELL_TAGS):
        return Lattice.from_parameters(*known.values())
    missing = next(tag for name, tag in CELL_TAGS.items() if name not in known)
    system = next(filter(None, map(tags.value, CRYSTAL_SYSTEM_TAGS)), "").lower()
    free = FREE_CELL_PARAMETERS.get(system, tuple(CELL_TAGS))
    if any(name not in known for name in free):
        raise ValueError(f"it has no {missing}")
    lattice = getattr(Lattice, system)(*(known[name] for name in free))
    for name, value in zip(CELL_TAGS, lattice.parameters, strict=True):
        if abs(known.get(name, value) - value) > 1e-3:
            raise ValueError(f"its {name} is {known[name]:g}, which a {system} cell cannot have")
    return lattice


def _cell_parameter(name: str, text: str) -> float:
    value = _parse_number(text)
    kind, unit, lowest, highest = (
        ("length", "angstrom", 0.0, MAX_EDGE_ANGSTROM)
        if name in LENGTH_NAMES
        else ("angle", "degrees", *ANGLE_RANGE_DEGREES)
    )
    if not lowest < value <= highest:
        raise ValueError(
            f"the cell {kind} {name} is '{printable(text[:40])}', and must be above {lowest:g} and "
            f"no more than {highest:g} {unit}"
        )
    return value


# --- the atoms


def _atom_rows(tags: Tags) -> list[AtomRow]:
    """The rows of the atom table, without those of occupancy 0."""
    columns = _atom_columns(tags)
    count = len(columns[ATOM_X_TAG])
    if "dum" in columns[CALC_FLAG_TAG]:
        raise ValueError("it has dummy atoms, which are not atoms; remove them")
    symbols: Sequence[str | None] = columns[SYMBOL_TAG] or [None] * count
    rows = [
        _atom_row(*values)
        for values in zip(
            columns[LABEL_TAG] or [f"number {row + 1}" for row in range(count)],
            symbols,
            zip(*(columns[tag] for tag in COORDINATE_TAGS), strict=True),
            columns[OCCUPANCY_TAG] or ["1"] * count,
            columns[HYDROGENS_TAG] or ["0"] * count,
            strict=True,
        )
    ]
    found = [row for row in rows if row.occupancy > MIN_OCCUPANCY]
    if not found:
        raise ValueError("every site has the occupancy 0, so it has no atoms")
    return found


def _atom_columns(tags: Tags) -> dict[str, list[str]]:
    """The columns of the atom table by tag. Raises ValueError if one is outside the table."""
    count = len(tags.values(ATOM_X_TAG))
    if not count:
        raise ValueError(f"it has no {ATOM_X_TAG}, so no atoms")
    if count > MAX_ATOM_ROWS:
        raise ValueError(f"it has {count:,} rows of atoms, more than {MAX_ATOM_ROWS:,}")
    loop = tags.loop_tags(ATOM_X_TAG)
    for tag in ATOM_TAGS:
        if tag not in tags.names or tag in loop:
            continue
        if len(loop) > 1 or tags.loop_tags(tag) != {tag}:
            raise ValueError(f"{tag} is not in the loop of {ATOM_X_TAG}")
    if LABEL_TAG not in tags.names and SYMBOL_TAG not in tags.names:
        raise ValueError(f"it has no {SYMBOL_TAG}")
    columns = {tag: tags.values(tag) for tag in ATOM_TAGS}
    for tag in COORDINATE_TAGS:
        if len(columns[tag]) != count:
            raise ValueError(f"it has no {tag}")
    return columns


def _atom_row(
    label: str, symbol: str | None, position: Sequence[str], occupancy: str, hydrogens: str
) -> AtomRow:
    site = f"site {printable(label[:40])}"
    element = _element(site, label, symbol)
    coordinates = tuple(map(_parse_number, position))
    for axis, value, text in zip("xyz", coordinates, position, strict=True):
        if not abs(value) <= MAX_FRACTIONAL_COORDINATE:
            raise ValueError(f"{site} has the coordinate {axis} '{printable(text[:40])}'")
    # 1 is the default of the CIF dictionary.
    amount = 1.0 if occupancy in UNKNOWN_VALUES else _parse_number(occupancy)
    if not 0 <= amount <= MAX_GIVEN_OCCUPANCY:
        raise ValueError(f"{site} has the occupancy '{printable(occupancy[:40])}'")
    if hydrogens not in UNKNOWN_VALUES and _parse_number(hydrogens) != 0:
        raise ValueError(f"{site} has hydrogen atoms attached; list them as separate sites")
    x, y, z = map(_exact_third, coordinates)
    return AtomRow((x, y, z), symbol or element.name, element, amount)


def _element(site: str, label: str, symbol: str | None) -> Element:
    """The element of a site by its symbol, or by its label if the table has no symbols."""
    kind, text = ("label", label) if symbol is None else ("symbol", symbol)
    if symbol is None:
        found = LABEL_PATTERN.fullmatch(text)
    else:
        found = SYMBOL_PATTERN.fullmatch(re.sub(r"[\s()]", "", text))
    if not found or found[1] not in ELEMENTS_BY_SYMBOL or (symbol is None and found[1] == "T"):
        raise ValueError(
            f"{site} has the {kind} '{printable(text[:40])}', which is not an element; write one "
            "row per element for a mixed site, and an occupancy below 1 for vacancies"
        )
    return ELEMENTS_BY_SYMBOL[found[1]]


def _exact_third(x: float) -> float:
    """1/3 or 2/3 for a rounded coordinate such as 0.3333; else the coordinate."""
    return next((third for third in (1 / 3, 2 / 3) if abs(x / third - 1) <= SAME_SITE_TOLERANCE), x)


# --- sites


def _merge_sites(
    rows: Sequence[AtomRow], symmetry: Symmetry
) -> tuple[np.ndarray, list[SiteSpecies]]:
    """Merge rows at symmetry-equivalent positions into sites of several species.

    Returns fractional coordinates [k, 3] and species of the distinct sites. As in pymatgen, a row
    is merged with the first site that one of its images coincides with, images in the order of the
    operations.
    """
    positions = np.array([row.position for row in rows])
    images = symmetry.images(positions)  # [r, n, 3]
    kept = np.empty((min(len(rows), MAX_ATOMS), 3))
    sites: list[dict[str, AtomRow]] = []
    for row, own_images in zip(rows, images, strict=True):
        same = _same_site(own_images[:, None], kept[None, : len(sites)])  # [n, k]
        if same.any():
            site = sites[int(same[same.any(axis=1).argmax()].argmax())]
        elif len(sites) == MAX_ATOMS:
            raise _too_many_atoms()
        else:
            kept[len(sites)] = row.position
            sites.append(site := {})
        if row.symbol in site:
            raise ValueError(f"two rows of {row.symbol} are at symmetry-equivalent positions")
        site[row.symbol] = row
    species = [tuple((row.element, row.occupancy) for row in site.values()) for site in sites]
    return kept[: len(sites)], [_site_species(occupancies) for occupancies in species]


@lru_cache(maxsize=10_000)
def _site_species(occupancies: tuple[tuple[Element, float], ...]) -> SiteSpecies:
    """The composition of a site, scaled down to one atom in total if it is more."""
    total = sum(occupancy for _, occupancy in occupancies)
    if total > MAX_OCCUPANCY:
        names = " and ".join(element.name for element, _ in occupancies)
        raise ValueError(f"the occupancy of a site with {names} is {total:g}, more than 1")
    amounts: dict[Element, float] = {}
    for element, occupancy in occupancies:
        amounts[element] = amounts.get(element, 0.0) + occupancy / max(total, 1)
    found = Composition(amounts)
    text = PeriodicSite(found, (0, 0, 0), Lattice.cubic(1)).species_string
    mean = sum(_electronegativity(element) * x for element, x in amounts.items()) / total
    return SiteSpecies(found, (mean * max(total, 1), text))


def _electronegativity(element: Element) -> float:
    """Pauling electronegativity; 0 for elements without (pymatgen would warn)."""
    value = element.data.get("X")
    return float(value) if isinstance(value, int | float) else 0.0


def _expand_sites(
    lattice: Lattice,
    positions: np.ndarray,
    species: Sequence[SiteSpecies],
    symmetry: Symmetry,
) -> Structure:
    """All sites of the cell: the distinct images of each position, sorted by species."""
    order = sorted(range(len(species)), key=lambda i: species[i].sort_key)
    images = symmetry.images(positions[order])  # [k, n, 3]
    images -= np.floor(images)
    count = images.shape[1]
    chunk_size = max(1, PAIRS_PER_CHUNK // count**2)
    atoms, coordinates = [], []
    for start in range(0, len(order), chunk_size):
        chunk = images[start : start + chunk_size]
        same = _same_site(chunk[:, :, None], chunk[:, None])  # [chunk, n, n]
        first = same.argmax(axis=2) == np.arange(count)  # [chunk, n] one image per distinct site
        for i, size in zip(order[start : start + chunk_size], first.sum(axis=1), strict=True):
            atoms += [species[i].composition] * size
        coordinates.append(chunk[first])
        if len(atoms) > MAX_ATOMS:
            raise _too_many_atoms()
    return Structure(lattice, atoms, np.concatenate(coordinates))


def _same_site(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether positions are equal up to lattice translations; the last axis is x, y, z."""
    same = _same_along_axis(one[..., 0], other[..., 0])
    for axis in (1, 2):
        if same.any():  # saves two thirds of the work
            same &= _same_along_axis(one[..., axis], other[..., axis])
    return same


def _same_along_axis(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    apart = one - other
    return np.abs(apart - np.rint(apart)) < SAME_SITE_TOLERANCE


def _check_site_distances(structure: Structure) -> None:
    """Raise ValueError if two sites are too close to be both occupied.

    The images of a special position with too few digits, such as 0.333, do not coincide: they are a
    hundredth of an angstrom apart and would count as several atoms.
    """
    if len(structure) == 1:
        return
    positions, lattice = structure.frac_coords, structure.lattice
    reach = MIN_SITE_DISTANCE_ANGSTROM * np.linalg.norm(lattice.inv_matrix, axis=0)  # [3] cells
    near = np.triu(np.ones((len(positions), len(positions)), dtype=bool), 1)
    for axis in np.argsort(reach):
        apart = positions[:, None, axis] - positions[None, :, axis]
        near &= np.abs(apart - np.rint(apart)) <= reach[axis]
    i, j = np.nonzero(near)
    apart = positions[i] - positions[j]
    distance = np.linalg.norm((apart - np.rint(apart)) @ lattice.matrix, axis=1)
    occupancy = np.array([site.species.num_atoms for site in structure])
    too_close = distance < MIN_SITE_DISTANCE_ANGSTROM
    wrong = np.flatnonzero(too_close & (occupancy[i] + occupancy[j] > MAX_OCCUPANCY))
    if len(wrong):
        one, other = (structure[int(pair[wrong[0]])].species_string for pair in (i, j))
        raise ValueError(
            f"two sites ({one} and {other}) are {distance[wrong[0]]:.2g} angstrom apart; give "
            "coordinates with more digits, or merge the sites"
        )


def _too_many_atoms() -> CrystalError:
    return CrystalError(f"The cell holds more than {MAX_ATOMS:,} atoms.")
