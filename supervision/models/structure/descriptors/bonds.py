"""The surroundings of all atoms of a crystal: pairs of near atoms, and their Voronoi shares."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.neighbours import neighbours
from supervision.models.structure.descriptors.sites import Sites, covalent_radius, read_sites
from supervision.models.structure.descriptors.voronoi import VoronoiCell, voronoi_cell

if TYPE_CHECKING:
    from pymatgen.core import Structure

PAIR_RADIUS_ANGSTROM = 6.0001  # a rounder number is the length of many lattice vectors
RADIUS_GROWTH = 1.4
COINCIDENCE_ANGSTROM = 1e-3  # sites closer than this are at the same position
EXCLUSION_RATIO = 0.7  # of the sum of covalent radii; two atoms cannot be closer
OCCUPANCY_TOLERANCE = 1e-3
MIN_SHARE = 1e-9  # of the solid angle; a smaller face is rounding


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The sites of a cell and all ordered pairs of an atom and a near atom.

    Attributes:
        sites: the sites.
        volume: of the cell in cubic angstrom.
        i, j: [m] the sites of an atom and of its neighbour.
        image: [m, 3] lattice translation of the neighbour.
        vector: [m, 3] from the atom to its neighbour in angstrom.
        distance: [m] in angstrom.
        relative: [m] distance over the sum of the covalent radii.
        share: [m] part of the solid angle around the atom that the neighbour takes.
        cell_volume: [n] of the Voronoi cells in cubic angstrom. Sites that cannot be occupied at
            once do not bound each other's cells.
        void_radius: of the largest sphere without an atom, in angstrom.
    """

    sites: Sites
    volume: float
    i: np.ndarray
    j: np.ndarray
    image: np.ndarray
    vector: np.ndarray
    distance: np.ndarray
    relative: np.ndarray
    share: np.ndarray
    cell_volume: np.ndarray
    void_radius: float


def find_surroundings(structure: "Structure") -> Surroundings:
    """All pairs within PAIR_RADIUS_ANGSTROM and, in open crystals, Voronoi neighbours beyond it.

    Partly occupied sites that are too close to be occupied at once are no pair. Raises ValueError
    for an element beyond Pu, an invalid cell (``check_geometry``), two sites at one position, or
    too many pairs (``neighbours``).
    """
    sites, radius, pairs = read_sites(structure), PAIR_RADIUS_ANGSTROM, None
    while pairs is None:
        pairs = _pairs_and_cells(structure, sites, radius)
        radius *= RADIUS_GROWTH
    i, j, image, vector, share, cells = pairs
    distance, radii = np.linalg.norm(vector, axis=1), sites.mean_of(covalent_radius())
    kept = (distance <= PAIR_RADIUS_ANGSTROM) | (share > 0)
    i, j, distance = i[kept], j[kept], distance[kept]
    return Surroundings(
        sites=sites,
        volume=structure.volume,
        i=i,
        j=j,
        image=image[kept],
        vector=vector[kept],
        distance=distance,
        relative=distance / (radii[i] + radii[j]),
        share=share[kept],
        cell_volume=np.array([cell.volume for cell in cells]),
        void_radius=max(cell.radius for cell in cells),
    )


def _pairs_and_cells(
    structure: "Structure", sites: Sites, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[VoronoiCell]] | None:
    """Sites, image, vector and share of all pairs, and the Voronoi cells of all atoms.

    Returns None if an atom beyond the radius could shape a cell.
    """
    i, j, image = _coexisting_pairs(structure, sites, radius)
    xyz = structure.cart_coords
    vector = xyz[j] + image @ structure.lattice.matrix - xyz[i]
    cells = []
    for around in np.split(vector, np.searchsorted(i, np.arange(1, len(xyz)))):
        cell = voronoi_cell(around)
        if cell is None or 2 * cell.radius > radius:
            return None
        cells.append(cell)
    share = np.concatenate([cell.share for cell in cells])
    return i, j, image, vector, np.where(share < MIN_SHARE, 0, share), cells


def _coexisting_pairs(
    structure: "Structure", sites: Sites, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs sorted by atom, without those of sites that cannot be occupied at once."""
    i, j, image, distance = neighbours(structure, radius, tolerance=COINCIDENCE_ANGSTROM)
    radii, occupancy = sites.mean_of(covalent_radius()), sites.occupancy
    alternative = occupancy[i] + occupancy[j] <= 1 + OCCUPANCY_TOLERANCE
    alternative &= distance < EXCLUSION_RATIO * (radii[i] + radii[j])
    if (distance[~alternative] < COINCIDENCE_ANGSTROM).any():
        closest = int(np.where(alternative, np.inf, distance).argmin())
        names = " and ".join(structure[k].species_string for k in (i[closest], j[closest]))
        raise ValueError(f"The sites {names} are at one position; give it as one mixed site.")
    order = np.argsort(i, kind="stable")
    order = order[~alternative[order]]
    return i[order], j[order], image[order]
