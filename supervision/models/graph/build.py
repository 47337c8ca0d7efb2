"""A crystal structure as two graphs: the atom graph of bonds and the line graph of bond angles.

Every atom is bonded to its 12 nearest neighbours and to all others at the distance of the twelfth.
Each bond exists in both directions. Angles are the pairs of bonds ``i -> j, j -> k``. The graph
does not depend on the origin, the orientation or the choice of the unit cell: the graph of a
supercell is that of the unit cell, repeated.

    graph = build_graph(structure)
    first, second, cosine = line_graph(graph)

Models pretrained on radius graphs get those: all neighbours within a distance, and at least the
nearest.

The construction follows ALIGNN (Choudhary and DeCost, npj Comput. Mater. 7, 185, 2021) with two
corrections: neighbours at equal distance are found with a tolerance instead of float equality, and
a bond to a periodic image of the same atom counts once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.element_tables import atomic_number, cgcnn, magpie
from supervision.data.neighbours import neighbours

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

TIE_TOLERANCE_ANGSTROM = 1e-4  # distances that differ less are equal
COINCIDENCE_ANGSTROM = 1e-3  # sites closer than this are at the same position
MAX_ANGLES = 1_000_000  # per cell, 300 MB while it is folded; 1,000 atoms have 200,000
INITIAL_RADIUS_FACTOR = 1.5  # over the radius that holds enough neighbours at the mean density


@dataclass(frozen=True)
class Neighbourhood:
    """Which neighbours an atom is bonded to.

    Attributes:
        nearest: number of nearest neighbours; ties with the last are included.
        within: in angstrom; all neighbours within this distance are included too.
    """

    nearest: int = 12
    within: float = 0.0


DEFAULT_NEIGHBOURHOOD = Neighbourhood()


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """The atom graph of one structure. Edges are directed, and each has its reverse.

    Attributes:
        features: [n, 92] CGCNN features, summed over a site's species times their occupancy.
        properties: [n, 23] Magpie's 22 properties summed likewise, and the total occupancy.
        source: [m] source atom of each edge.
        target: [m] target atom of each edge.
        image: [m, 3] lattice translation of the target.
        vector: [m, 3] from source to target in angstrom.
    """

    features: np.ndarray
    properties: np.ndarray
    source: np.ndarray
    target: np.ndarray
    image: np.ndarray
    vector: np.ndarray


def build_graph(
    structure: "Structure", neighbourhood: Neighbourhood = DEFAULT_NEIGHBOURHOOD
) -> CrystalGraph:
    """The atom graph of an ordered or disordered structure.

    Raises ValueError for an element without features, an invalid cell or coordinate
    (``check_geometry``), or two sites at the same position.
    """
    features, properties = site_features(structure)
    i, j, image = _find_neighbours(structure, neighbourhood)
    edges = np.concatenate([np.column_stack([i, j, image]), np.column_stack([j, i, -image])])
    edges = edges[np.lexsort(edges.T[::-1])]
    new = np.concatenate([[True], (edges[1:] != edges[:-1]).any(axis=1)])
    i, j, image = edges[new, 0], edges[new, 1], edges[new, 2:]
    xyz = structure.cart_coords
    return CrystalGraph(
        features, properties, i, j, image, xyz[j] + image @ structure.lattice.matrix - xyz[i]
    )


def line_graph(graph: CrystalGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles: edge ``i -> j`` [t], edge ``j -> k`` [t], and the cosine at ``j`` [t].

    An edge and its own reverse are a pair too, with cosine 1, as in ALIGNN's line graph.
    """
    first, second = edge_pairs(graph.source, graph.target)
    unit = graph.vector / np.linalg.norm(graph.vector, axis=1, keepdims=True)
    cosine = -np.einsum("tx,tx->t", unit[first], unit[second])
    return first, second, np.clip(cosine, -1, 1)


def edge_pairs(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of edges of which the second leaves the atom at which the first arrives.

    Raises ValueError if there are more than MAX_ANGLES. An atom that is a neighbour of all others
    has as many pairs as the square of their number.
    """
    by_source = np.argsort(source, kind="stable")
    out_degree = np.bincount(source)  # [n]; every atom has a neighbour
    offsets = np.cumsum(out_degree) - out_degree
    partners = out_degree[target]  # [m] of each edge
    if partners.sum() > MAX_ANGLES:
        raise ValueError(f"The graph has {partners.sum():,} angles, more than {MAX_ANGLES:,}.")
    first = np.repeat(np.arange(len(source)), partners)
    rank = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    return first, by_source[np.repeat(offsets[target], partners) + rank]


def site_features(structure: "Structure") -> tuple[np.ndarray, np.ndarray]:
    """CGCNN features [n, 92] of all sites, and Magpie's properties with the occupancy, [n, 23].

    Both are sums over a site's species of occupancy times value. They are not normalised, so
    vacancies have an effect. Raises ValueError for an element that is not in the tables.
    """
    sites = [site.species for site in structure]
    by_species = {species: _species_features(species) for species in set(sites)}
    features, properties = zip(*(by_species[species] for species in sites), strict=True)
    return np.stack(features).astype(np.float32), np.stack(properties).astype(np.float32)


def _species_features(species: "Composition") -> tuple[np.ndarray, np.ndarray]:
    rows = [atomic_number(atom) - 1 for atom in species]
    occupancy = np.array(list(species.values()))
    properties = [*(occupancy @ magpie()[rows]), occupancy.sum()]
    return occupancy @ cgcnn()[rows], np.array(properties)


def _find_neighbours(
    structure: "Structure", neighbourhood: Neighbourhood
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source, target and image of the neighbours of each atom, including ties with the last.

    The search starts with a sphere that would hold enough neighbours at the crystal's mean density.
    It is repeated with a larger radius for the atoms that have too few.
    """
    nearest, within = neighbourhood.nearest, neighbourhood.within
    atoms, edges = np.arange(len(structure)), []
    mean_radius = (3 * nearest * structure.volume / (4 * np.pi * len(atoms))) ** (1 / 3)
    radius = max(INITIAL_RADIUS_FACTOR * mean_radius, within + TIE_TOLERANCE_ANGSTROM)
    while len(atoms):
        i, j, image, distance = neighbours(
            structure, radius, atoms=atoms, tolerance=COINCIDENCE_ANGSTROM
        )
        _refuse_coincident_sites(structure, i, j, distance)
        centre = np.searchsorted(atoms, i)
        order = np.lexsort((distance, centre))
        centre, j, image, distance = (x[order] for x in (centre, j, image, distance))
        count = np.bincount(centre, minlength=len(atoms))
        enough = count >= nearest
        cutoff = np.full(len(atoms), np.inf)  # distance of the last neighbour and its ties
        last = distance[(np.cumsum(count) - count)[enough] + nearest - 1]
        cutoff[enough] = np.maximum(last, within) + TIE_TOLERANCE_ANGSTROM
        complete = cutoff <= radius
        selected = complete[centre] & (distance <= cutoff[centre])
        edges.append(np.column_stack([atoms[centre], j, image])[selected])
        atoms, radius = atoms[~complete], radius * 1.5
    found = np.concatenate(edges)
    return found[:, 0], found[:, 1], found[:, 2:]


def _refuse_coincident_sites(
    structure: "Structure", i: np.ndarray, j: np.ndarray, distance: np.ndarray
) -> None:
    if (distance < COINCIDENCE_ANGSTROM).any():
        closest = int(distance.argmin())
        names = " and ".join(structure[k].species_string for k in (i[closest], j[closest]))
        raise ValueError(f"The sites {names} are at one position; give it as one mixed site.")
