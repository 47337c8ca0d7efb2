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

from supervision.crystals import CrystalError
from supervision.errors import one_line
from supervision.geometry import MAX_ATOMS, MAX_EDGE, check_geometry
from supervision.symmetry import Symmetry, listed, of_group
from supervision.text import printable

MAX_CIF_BYTES = 1_000_000  # 150 times the longest of 3DSC; more is measured data, no structure
MAX_LINE = 2_048  # characters; the limit of CIF 1.1
MAX_BLOCKS = 100  # data blocks; a paper has a few
MAX_ROWS = 2 * MAX_ATOMS  # of atoms: mixed sites have one an element
MAX_OPERATIONS = 192  # the most that a space group has in its conventional cell
MAX_POSITIONS = 10_000  # rows times operations: the work; K3C60, 5 rows of Fm-3m, has 960
ANGLE_RANGE = (1.0, 179.0)  # degrees; beyond them a cell is flat, whatever its lengths
PAIRS_AT_ONCE = 100_000  # of images that are compared: 10 MB
MAX_COORDINATE = 100.0  # cells; a site farther out has lost the digits that say where it is

SAME_PLACE = 1e-4  # fractional, along each axis: pymatgen's, also for 0.3333 taken as 1/3
FULL = 1.05  # occupancy; up to here more than 1 is rounding, and is scaled down to 1
MISFIT = 0.1  # of the longest squared edge: distortion by an operation; in 3DSC it is up to 0.06

UNKNOWN = ("?", ".")  # how a CIF says that it does not say
LENGTHS, ANGLES = ("a", "b", "c"), ("alpha", "beta", "gamma")
CELL = tuple(f"_cell_length_{axis}" for axis in LENGTHS) + tuple(
    f"_cell_angle_{angle}" for angle in ANGLES
)
GIVEN = {  # cell parameters that a crystal system leaves free
    "cubic": ("a",),
    "tetragonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "orthorhombic": ("a", "b", "c"),
    "rhombohedral": ("a", "alpha"),
    "monoclinic": ("a", "b", "c", "beta"),
}
SETTINGS = ("_symmetry_cell_setting", "_space_group_crystal_system")
OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
NAMES = (
    "_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt", "_symmetry_space_group_name_H_M",
)  # fmt: skip
NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
PLACE = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
LABEL, SYMBOL, OCCUPANCY = "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy"
HYDROGENS = "_atom_site_attached_hydrogens"
UNSUPPORTED = {  # what would make the atoms below it another crystal
    "_cell_modulation_dimension": "a modulated structure",
    "_cell_wave_vector_seq_id": "a modulated structure",
    "_space_group_symop_magn_operation.xyz": "magnetic symmetry in the place of a space group",
    "_space_group_magn.name_BNS": "magnetic symmetry in the place of a space group",
    "_space_group_magn.number_BNS": "magnetic symmetry in the place of a space group",
}

BLOCK = re.compile(r"(?:^|\s)data_", re.IGNORECASE)
ELEMENTS = dict(Element.__members__)  # D and T among them
CHARGED = re.compile(r"([A-Z][a-z]?)(?:\d*[+-]|[+-]\d+|\d*)")  # Cu, Cu2+, Cu+2, Cu1
LABELLED = re.compile(r"([A-Za-z]+)(?:[^A-Za-z].*)?")  # Cu1A, Cu_oct


class Row(NamedTuple):
    """One row of the atom table: fractional coordinates, element and occupancy."""

    place: tuple[float, float, float]
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
        return _structure(_first_block(text))
    except CrystalError:
        raise
    except Exception as error:  # gemmi and pymatgen raise many types
        raise _unreadable(one_line(error)) from error


def plain_text(text: str) -> str:
    """Text the same from every kind of copy: no byte order mark, lines ended by ``\\n``."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _unreadable(why: str) -> CrystalError:
    return CrystalError(f"The CIF could not be read: {why}.")


def _check_text(text: str) -> None:
    """Refuse what is no text, none at all, or too much of it."""
    if text is None or text != text or (isinstance(text, str) and not text.strip()):  # NaN is null
        raise CrystalError("The CIF text is empty; give the content of a .cif file.")
    if not isinstance(text, str):
        raise CrystalError(f"A CIF is text, not {printable(str(text)[:40])}.")
    if len(text) > MAX_CIF_BYTES:
        raise CrystalError(f"The CIF text is longer than {MAX_CIF_BYTES // 10**6} MB.")


def _first_block(text: str) -> gemmi.cif.Block:
    """The first block that has atoms, or the first one where none has."""
    text = plain_text(text)
    blocks = len(BLOCK.findall(text))
    if "\x00" in text or not blocks:
        raise CrystalError("The text is not a CIF file: it has no data_ block.")
    if blocks > MAX_BLOCKS:
        raise _unreadable(f"it has {blocks:,} data blocks, more than {MAX_BLOCKS}")
    lengths = [len(line) for line in text.split("\n")]
    if max(lengths) > MAX_LINE:
        number = lengths.index(max(lengths)) + 1
        raise _unreadable(f"line {number} is longer than {MAX_LINE:,} characters")
    # An unknown character stays one, so that a minus sign of another alphabet is not lost.
    ascii_text = text.encode("ascii", "replace").decode()
    try:
        document = gemmi.cif.read_string(ascii_text)
    except (ValueError, RuntimeError) as error:
        found = re.match(r"string:(\d+)\S*(?: in .*?)?: (.*)", one_line(error))
        why = f"line {found[1]}: {printable(found[2])}" if found else printable(one_line(error))
        raise _unreadable(why) from error
    return next((b for b in document if b.find_values(PLACE[0])), document[0])


def _structure(block: gemmi.cif.Block) -> Structure:
    for tag, what in UNSUPPORTED.items():
        if block.find_values(tag):
            raise _unreadable(f"it gives {what}, which is not supported")
    rows, lattice = _rows(block), _lattice(block)
    symmetry = _operations(block, lattice)
    count = len(symmetry.rotations)
    if len(rows) * count > MAX_POSITIONS:
        raise _unreadable(
            f"{len(rows)} rows of atoms times {count} symmetry operations are more than "
            f"{MAX_POSITIONS:,} positions"
        )
    structure = _expanded(lattice, *_merged(rows, symmetry), symmetry)
    try:
        check_geometry(structure)
    except ValueError as error:
        raise CrystalError(str(error)) from error
    return structure


# --- single values


def _value(block: gemmi.cif.Block, tag: str) -> str | None:
    """What a tag says; None where the file lacks it or does not say. Refused where it says two."""
    found = block.find_values(tag)
    if len(found) > 1:
        raise _unreadable(f"{tag} has {len(found)} values, and should have one")
    text = gemmi.cif.as_string(found[0]).strip() if found else ""
    return None if not found or found[0] in UNKNOWN or not text else text


def _first_value(block: gemmi.cif.Block, tags: Sequence[str]) -> str | None:
    return next(filter(None, (_value(block, tag) for tag in tags)), None)


def _number(text: str) -> float:
    """A CIF number, its uncertainty in brackets dropped; NaN where it is none."""
    return float(gemmi.cif.as_number(text))


# --- the cell


def _lattice(block: gemmi.cif.Block) -> Lattice:
    """The cell; where parameters are missing, that of the crystal system which gives them."""
    names = (*LENGTHS, *ANGLES)
    found = {name: _value(block, tag) for name, tag in zip(names, CELL, strict=True)}
    known = {name: _parameter(name, text) for name, text in found.items() if text is not None}
    if len(known) == len(names):
        return Lattice.from_parameters(*known.values())
    missing = next(tag for name, tag in zip(names, CELL, strict=True) if name not in known)
    setting = (_first_value(block, SETTINGS) or "").lower()
    free = GIVEN.get(setting, names)
    if any(name not in known for name in free):
        raise _unreadable(f"it has no {missing}")
    lattice = getattr(Lattice, setting)(*(known[name] for name in free))
    for name, value in zip(names, lattice.parameters, strict=True):
        if abs(known.get(name, value) - value) > 1e-3:
            raise _unreadable(f"its {name} is {known[name]:g}, which no {setting} cell has")
    return lattice


def _parameter(name: str, text: str) -> float:
    value = _number(text)
    kind, unit, lowest, highest = (
        ("length", "angstrom", 0.0, MAX_EDGE)
        if name in LENGTHS
        else ("angle", "degrees", *ANGLE_RANGE)
    )
    if not lowest < value <= highest:
        raise _unreadable(
            f"the cell {kind} {name} is '{printable(text[:40])}', and must be above {lowest:g} and "
            f"no more than {highest:g} {unit}"
        )
    return value


# --- the atoms


def _rows(block: gemmi.cif.Block) -> list[Row]:
    """The atom table; rows of occupancy 0, where nothing is, are left out."""
    count = len(block.find_values(PLACE[0]))
    if not count:
        raise _unreadable(f"it has no {PLACE[0]}, so no atoms")
    if count > MAX_ROWS:
        raise _unreadable(f"it has {count:,} rows of atoms, more than {MAX_ROWS:,}")
    columns = {tag: _column(block, tag) for tag in (*PLACE, LABEL, SYMBOL, OCCUPANCY, HYDROGENS)}
    if not columns[LABEL] and not columns[SYMBOL]:
        raise _unreadable(f"it has no {SYMBOL}")
    for tag, column in columns.items():
        optional = tag not in PLACE and not column
        if len(column) != count and not optional:
            raise _unreadable(f"{PLACE[0]} has {count} values and {tag} {len(column)}")
    symbols: Sequence[str | None] = columns[SYMBOL] or [None] * count
    labels = columns[LABEL] or [f"number {row + 1}" for row in range(count)]
    table = zip(
        labels,
        symbols,
        zip(*(columns[tag] for tag in PLACE), strict=True),
        columns[OCCUPANCY] or ["1"] * count,
        columns[HYDROGENS] or ["0"] * count,
        strict=True,
    )
    rows = [_row(*cells) for cells in table]
    found = [row for row in rows if row.occupancy > 0]
    if not found:
        raise _unreadable("every site has the occupancy 0, so it has no atoms")
    return found


def _column(block: gemmi.cif.Block, tag: str) -> list[str]:
    """The values of a tag that stands in the atom table; refused where it stands elsewhere."""
    column, table = block.find_values(tag), block.find_values(PLACE[0])
    loop, atoms = column.get_loop(), table.get_loop()
    if column and table and (loop and loop.tags) != (atoms and atoms.tags):
        raise _unreadable(f"{tag} is not in the loop of {PLACE[0]}")
    return [cell if cell in UNKNOWN else gemmi.cif.as_string(cell) for cell in column]


def _row(
    label: str, symbol: str | None, place: Sequence[str], occupancy: str, hydrogens: str
) -> Row:
    site = f"site {printable(label[:40])}"
    element = _element(site, label, symbol)
    coordinates = tuple(map(_number, place))
    for axis, value, text in zip("xyz", coordinates, place, strict=True):
        if not abs(value) <= MAX_COORDINATE:
            raise _unreadable(f"{site} has the coordinate {axis} '{printable(text[:40])}'")
    share = 1.0 if occupancy in UNKNOWN else _number(occupancy)  # 1 is the dictionary's default
    if not 0 <= share <= MAX_COORDINATE:
        raise _unreadable(f"{site} has the occupancy '{printable(occupancy[:40])}'")
    if hydrogens not in UNKNOWN and _number(hydrogens) != 0:
        raise _unreadable(f"{site} has hydrogen atoms attached; give them as sites of their own")
    x, y, z = map(_ideal, coordinates)
    return Row((x, y, z), element, share)


def _element(site: str, label: str, symbol: str | None) -> Element:
    """The element of a site by its symbol or, where the table has none, by its label."""
    kind, text = ("label", label) if symbol is None else ("symbol", symbol)
    found = (LABELLED if symbol is None else CHARGED).fullmatch(text)
    if not found or found[1] not in ELEMENTS:
        raise _unreadable(
            f"{site} has the {kind} '{printable(text[:40])}', which is no element; a mixed site "
            "takes a row an element, a vacancy is an occupancy below 1"
        )
    return ELEMENTS[found[1]]


def _ideal(x: float) -> float:
    """A coordinate such as 0.3333 as the third that it stands for."""
    return next((third for third in (1 / 3, 2 / 3) if abs(x / third - 1) <= SAME_PLACE), x)


# --- symmetry


def _operations(block: gemmi.cif.Block, lattice: Lattice) -> Symmetry:
    """The operations that are listed, or those of the space group by its name.

    Without either the file is P1: all atoms are listed.
    """
    column = next(filter(None, (block.find_values(tag) for tag in OPERATIONS)), ())
    if len(column) > MAX_OPERATIONS:
        raise _unreadable(
            f"it lists {len(column):,} symmetry operations; no space group has more than "
            f"{MAX_OPERATIONS}"
        )
    texts = tuple(map(gemmi.cif.as_string, column))
    group = _space_group(block, lattice, must=not texts)
    found = listed(texts) if texts else of_group(group.xhm() if group else "P 1")
    if texts and group and found.crystal_class != of_group(group.xhm()).crystal_class:
        raise _unreadable(
            f"its {len(texts)} symmetry operations are not those of the space group "
            f"{group.short_name()} that it names; correct one of them (P1 where all atoms are "
            "listed)"
        )
    metric = lattice.metric_tensor
    turned = found.rotations.transpose(0, 2, 1) @ metric @ found.rotations
    misfit = np.abs(turned - metric).max(axis=(1, 2)) / metric.max()
    if misfit.max() > MISFIT:
        worst = int(misfit.argmax())
        name = texts[worst] if texts else f"number {worst + 1}"
        raise _unreadable(f"the symmetry operation '{printable(name)}' does not fit the cell")
    return found


def _space_group(
    block: gemmi.cif.Block, lattice: Lattice, *, must: bool
) -> gemmi.SpaceGroup | None:
    """The space group that a file names; None where it names none.

    Where the atoms depend on it (``must``), one that is unknown or has two origins is refused.
    """
    name, number = _first_value(block, NAMES), _first_value(block, NUMBERS)
    plain = (name or "").replace("_", "")
    alpha, _, gamma = lattice.angles if must else (0.0, 0.0, 0.0)
    found = gemmi.find_spacegroup_by_name(plain, alpha, gamma) if plain else None
    if found is None and number is not None and number.isdecimal() and 1 <= int(number) <= 230:
        found = gemmi.find_spacegroup_by_number(int(number))
    if not must:
        return found
    called = name or number
    if called and found is None:
        raise _unreadable(
            f"it lists no symmetry operations, and the space group '{printable(called[:40])}' that "
            "it names is unknown"
        )
    if found and found.ext in ("1", "2") and not plain.replace(" ", "").endswith(found.ext):
        raise _unreadable(
            f"it lists no symmetry operations, and the space group {found.short_name()} has two "
            f"origins; list them, or name it {found.hm}:1 or {found.hm}:2"
        )
    return found


# --- sites


def _merged(rows: Sequence[Row], symmetry: Symmetry) -> tuple[np.ndarray, list[Species]]:
    """Rows at one place, or at places that symmetry makes one, as sites of several species.

    Returns coordinates [k, 3] and species of the distinct rows. As in pymatgen a row joins the
    first that one of its images falls on, images in order of the operations.
    """
    places = np.array([row.place for row in rows])
    images = symmetry.images(places)  # [r, n, 3]
    kept = np.empty((min(len(rows), MAX_ATOMS), 3))
    shares: list[dict[Element, float]] = []
    for row, seen in zip(rows, images, strict=True):
        there = _near(seen[:, None], kept[None, : len(shares)])  # [n, k]
        if there.any():
            joined = shares[int(there[there.any(axis=1).argmax()].argmax())]
        elif len(shares) == MAX_ATOMS:
            raise _too_many()
        else:
            kept[len(shares)] = row.place
            shares.append(joined := {})
        joined[row.element] = joined.get(row.element, 0.0) + row.occupancy
    return kept[: len(shares)], [_species(tuple(share.items())) for share in shares]


@lru_cache(maxsize=10_000)
def _species(shares: tuple[tuple[Element, float], ...]) -> Species:
    """What is on a site, at most one atom."""
    total = sum(share for _, share in shares)
    if total > FULL:
        names = " and ".join(element.name for element, _ in shares)
        raise _unreadable(f"the occupancy of a site with {names} is {total:g}, more than 1")
    found = Composition({element: share / max(total, 1) for element, share in shares})
    text = PeriodicSite(found, (0, 0, 0), Lattice.cubic(1)).species_string
    return Species(found, (found.average_electroneg, text))


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
    apart = one - other
    apart -= np.rint(apart)
    near = np.abs(apart) < SAME_PLACE
    return near[..., 0] & near[..., 1] & near[..., 2]


def _too_many() -> CrystalError:
    return CrystalError(f"The cell holds more than {MAX_ATOMS:,} atoms.")
