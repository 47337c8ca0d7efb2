"""Disordered crystals as ordered cells: the smallest one whose composition is near enough.

A density functional calculation reads ordered cells. The number of primitive cells, the shape of
the supercell, and the sites of each element are chosen one after the other, so that no enumeration
of arrangements is needed, and the same crystal always gives the same cell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.composition_distance import atomic_fractions
from supervision.data.errors import CrystalError
from supervision.data.substitution import FRACTION_DECIMALS, site_elements
from supervision.models.composition.charge import balanced_charges
from supervision.runtime.options import option

if TYPE_CHECKING:
    from pymatgen.core import Lattice, Structure

VACANCY = ""
ROUNDING = 10**-FRACTION_DECIMALS  # of occupancies
IONIC, DISPERSED = "Ewald energy of ionic charges", "dispersion of each element"
SYMMETRY_TOLERANCE_ANGSTROM = 0.01  # of the primitive cell; superstructures are kept
LEAST_DISTANCE_ANGSTROM = 0.7  # of two atoms; H2 has 0.74
STARTS = 20  # random arrangements that are improved
LEAST_GAIN = 1e-6  # eV, of an exchange; smaller ones are rounding
SHAPE_DECIMALS = 3  # of lengths that decide between shapes


@dataclass(frozen=True)
class OrderingOptions:
    """How far an ordered cell may be from its crystal. Raises ValueError for a refused value."""

    max_atoms: int = option(40, "atoms that a cell may have; larger ones are refused")
    tolerance: float = option(
        0.01, "how far the atomic fraction of an element may be from that of a disordered crystal"
    )
    seed: int = option(0, "seed of the search for the arrangement of a disordered crystal")

    def __post_init__(self) -> None:
        if self.max_atoms < 1:
            raise ValueError(f"max_atoms must be 1 or more, got {self.max_atoms}.")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must be 0 to 1, got {self.tolerance:g}.")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}.")


@dataclass(frozen=True)
class OrderedCell:
    """An ordered cell of a crystal.

    Attributes:
        structure: without mixed or partly occupied sites.
        cells: the number of primitive cells in it.
        error: the largest absolute difference of an element's atomic fraction from the crystal's.
        method: what chose the arrangement, ``IONIC`` or ``DISPERSED``; empty where the crystal is
            ordered.
    """

    structure: "Structure"
    cells: int
    error: float
    method: str


@dataclass(frozen=True)
class _Sublattice:
    """Sites with the same occupancies, by their index; vacancies are an element, too."""

    amounts: Mapping[str, float]
    sites: Sequence[int]


def ordered_cell(structure: "Structure", options: OrderingOptions) -> OrderedCell:
    """The primitive cell of an ordered crystal; of a disordered one the smallest ordered supercell.

    Every element of the crystal stays in it. Of the supercells of that size it has the most compact
    shape. The arrangement has the least Ewald energy of ionic charges that an exchange of two atoms
    does not lower, where the charges of the elements balance; else the least energy of equal
    charges on the atoms of one element, summed over elements: each element is dispersed.

    Raises CrystalError where no cell of ``max_atoms`` is near enough in composition.
    """
    primitive = _primitive_cell(structure)
    sublattices = _sublattices(primitive)
    if not sublattices:
        if len(primitive) > options.max_atoms:
            raise CrystalError(
                f"Its primitive cell has {len(primitive)} atoms, over the {options.max_atoms} of "
                "max_atoms; raise max_atoms, if you can afford the calculation."
            )
        return OrderedCell(primitive, 1, 0.0, "")
    cells, error = _smallest(primitive, sublattices, options)
    supercell = _supercell(primitive, cells)
    sublattices = _sublattices(supercell)
    charges, method = _charges(supercell)
    labels = _arrangement(supercell, sublattices, charges, options.seed)
    ordered = _with_elements(supercell, labels)
    _check_distances(ordered)
    return OrderedCell(ordered, cells, error, method)


def _primitive_cell(structure: "Structure") -> "Structure":
    """The primitive cell without charges and isotopes."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    species = [site_elements(site) for site in structure]
    plain = type(structure)(structure.lattice, species, structure.frac_coords)
    found = SpacegroupAnalyzer(plain, symprec=SYMMETRY_TOLERANCE_ANGSTROM).find_primitive()
    if found is None:
        raise CrystalError("Its symmetry cannot be found; check that no two atoms coincide.")
    return found


def _sublattices(structure: "Structure") -> list[_Sublattice]:
    """The disordered sites of a structure, in the order of their first one."""
    found: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for index, site in enumerate(structure):
        amounts = site_elements(site)
        amounts[VACANCY] = 1 - sum(amounts.values())
        rounded = {symbol: round(x, FRACTION_DECIMALS) for symbol, x in amounts.items()}
        occupied = tuple(sorted((symbol, x) for symbol, x in rounded.items() if x > 0))
        if len(occupied) > 1:
            found.setdefault(occupied, []).append(index)
    return [_Sublattice(dict(occupied), sites) for occupied, sites in found.items()]


# --- the number of primitive cells


def _smallest(
    primitive: "Structure", sublattices: Sequence[_Sublattice], options: OrderingOptions
) -> tuple[int, float]:
    """The least number of primitive cells, and the error in composition that is left."""
    from pymatgen.core import Composition

    wanted = primitive.composition
    fixed = _fixed_elements(primitive, sublattices)
    nearest = np.inf
    for cells in range(1, 2 + int(options.max_atoms / wanted.num_atoms)):
        amounts = {symbol: cells * number for symbol, number in fixed.items()}
        for sublattice in sublattices:
            for symbol, number in _numbers(sublattice, cells * len(sublattice.sites)).items():
                amounts[symbol] = amounts.get(symbol, 0) + number
        amounts.pop(VACANCY, None)
        if sum(amounts.values()) > options.max_atoms or 0 in amounts.values():
            continue
        difference = atomic_fractions(Composition(amounts)) - atomic_fractions(wanted)
        error = float(np.abs(difference).max())
        if error <= options.tolerance + ROUNDING:
            return cells, error
        nearest = min(nearest, error)
    said = f"; the nearest is {nearest:.3f} away" if np.isfinite(nearest) else ""
    raise CrystalError(
        f"No ordered cell of up to {options.max_atoms} atoms has the elements of "
        f"{wanted.reduced_formula} with atomic fractions within {options.tolerance:g}{said}; raise "
        "max_atoms or tolerance, or give an ordered structure."
    )


def _fixed_elements(primitive: "Structure", sublattices: Sequence[_Sublattice]) -> dict[str, float]:
    """The number of atoms of each element on the ordered sites."""
    disordered = {index for sublattice in sublattices for index in sublattice.sites}
    found: dict[str, float] = {}
    for index, site in enumerate(primitive):
        if index not in disordered:
            symbol = next(iter(site_elements(site)))
            found[symbol] = found.get(symbol, 0) + 1
    return found


def _numbers(sublattice: _Sublattice, sites: int) -> dict[str, int]:
    """The atoms of each element on so many sites: whole numbers, by the largest remainders."""
    exact = {symbol: amount * sites for symbol, amount in sublattice.amounts.items()}
    found = {symbol: int(x + ROUNDING) for symbol, x in exact.items()}
    by_remainder = sorted(exact, key=lambda symbol: (found[symbol] - exact[symbol], symbol))
    for symbol in by_remainder[: sites - sum(found.values())]:
        found[symbol] += 1
    return found


# --- the shape of the supercell


def _supercell(primitive: "Structure", cells: int) -> "Structure":
    """The most compact of the supercells of so many primitive cells: of the longest short vector.

    Images of a dopant are then as far apart as they can be.
    """
    from pymatgen.transformations.standard_transformations import SupercellTransformation

    best = max(_shapes(cells), key=lambda matrix: _compactness(primitive.lattice, matrix))
    return SupercellTransformation(best).apply_transformation(primitive)


def _compactness(lattice: "Lattice", matrix: np.ndarray) -> tuple[float, float]:
    lengths = type(lattice)(matrix @ lattice.matrix).get_lll_reduced_lattice().abc
    return round(min(lengths), SHAPE_DECIMALS), -round(max(lengths), SHAPE_DECIMALS)


def _shapes(cells: int) -> Iterator[np.ndarray]:
    """All different supercells of so many cells: the matrices in Hermite normal form."""
    divisors = [n for n in range(1, cells + 1) if cells % n == 0]
    for a in divisors:
        for b in (n for n in divisors if cells // a % n == 0):
            c = cells // a // b
            for x, y, z in np.ndindex(a, a, b):
                yield np.array([[a, 0, 0], [x, b, 0], [y, z, c]])


# --- the arrangement of the atoms


def _charges(structure: "Structure") -> tuple[list[dict[str, float]], str]:
    """Sets of charges by element, whose energies are added, and what they stand for."""
    if charges := balanced_charges(structure.composition):
        return [charges], IONIC
    symbols = (element.symbol for element in structure.composition)
    return [{symbol: 1.0} for symbol in (*symbols, VACANCY)], DISPERSED


def _arrangement(
    structure: "Structure",
    sublattices: Sequence[_Sublattice],
    charges: Sequence[Mapping[str, float]],
    seed: int,
) -> list[str]:
    """The element of each site; of the best of ``STARTS`` arrangements after exchanges."""
    rng = np.random.default_rng(seed)
    symbols = sorted({VACANCY} | {symbol for site in structure for symbol in site_elements(site)})
    table = np.array([[one.get(symbol, 0.0) for symbol in symbols] for one in charges])
    labels = np.array([symbols.index(next(iter(site_elements(site)))) for site in structure])
    group = np.full(len(structure), -1)
    for number, sublattice in enumerate(sublattices):
        group[list(sublattice.sites)] = number
    coupling = _coupling(structure)
    best, least = labels, np.inf
    for _ in range(STARTS):
        for sublattice in sublattices:
            counts = _numbers(sublattice, len(sublattice.sites))
            filled = [symbols.index(s) for s, count in counts.items() for _ in range(count)]
            labels[list(sublattice.sites)] = rng.permutation(filled)
        found = _improved(labels, group, table, coupling)
        energy = float(np.sum((table[:, found] @ coupling) * table[:, found]))
        if energy < least - LEAST_GAIN:
            best, least = found, energy
    return [symbols[label] for label in best]


def _coupling(structure: "Structure") -> np.ndarray:
    """The Ewald energy of unit charges on each pair of sites, ``[n, n]``, in eV.

    The energy of charges q is q coupling q, but for a constant that depends on their sum alone.
    """
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Structure

    units = Structure(structure.lattice, ["H+"] * len(structure), structure.frac_coords)
    return EwaldSummation(units).total_energy_matrix


def _improved(
    labels: np.ndarray, group: np.ndarray, table: np.ndarray, coupling: np.ndarray
) -> np.ndarray:
    """Labels after the exchanges, within a group, that lower the energy most, one by one.

    Args:
        labels: the element of each site, [n].
        group: sites of the same number exchange atoms, -1 none, [n].
        table: charges by element, ``[sets, elements]``.
    """
    labels = labels.copy()
    apart = (group[:, None] != group) | (group < 0)
    own = np.diag(coupling)
    stiffness = own[:, None] + own - 2 * coupling
    while True:
        charge = table[:, labels]
        potential = charge @ coupling
        step = charge[:, None, :] - charge[:, :, None]
        slope = potential[:, :, None] - potential[:, None, :]
        change = (2 * step * slope + step**2 * stiffness).sum(axis=0)
        change[apart] = 0
        one, other = np.unravel_index(change.argmin(), change.shape)
        if change[one, other] > -LEAST_GAIN:
            return labels
        labels[[one, other]] = labels[[other, one]]


def _with_elements(structure: "Structure", labels: Sequence[str]) -> "Structure":
    """The structure with one element on each site, without vacancies, sorted by element."""
    kept = [index for index, symbol in enumerate(labels) if symbol != VACANCY]
    positions = structure.frac_coords[kept]
    ordered = type(structure)(structure.lattice, [labels[i] for i in kept], positions)
    return ordered.get_reduced_structure("LLL").get_sorted_structure()


def _check_distances(structure: "Structure") -> None:
    distances = structure.distance_matrix[np.triu_indices(len(structure), 1)]
    if distances.size and distances.min() < LEAST_DISTANCE_ANGSTROM:
        raise CrystalError(
            f"Two of its partly occupied sites are {distances.min():.2f} angstrom apart, and no "
            "arrangement that leaves one of them empty was found; give an ordered structure."
        )
