"""A crystal structure as two graphs: atoms joined by bonds, and bonds joined by angles.

Every atom is bonded to its 12 nearest neighbours and to all that are as near as the twelfth; a bond
seen from one end is there from the other. The angles are the pairs of bonds ``i -> j, j -> k``.
Nothing depends on where the origin lies, how the axes stand or how large a cell was chosen: the
graph of a supercell is the graph of the cell, repeated.

    graph = build_graph(structure)
    first, second, cosine = line_graph(graph)

Models that learned from radius graphs are given those: all neighbours within a distance, and at
least the nearest.

The recipe is ALIGNN's (Choudhary and DeCost, npj Comput. Mater. 7, 185, 2021) with its two weak
points mended: ties are kept within a tolerance and not by equality of floats, and a bond to an
image of the same atom counts once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.element_tables import atomic_number, cgcnn, magpie
from supervision.data.neighbours import neighbours

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

TIE = 1e-4  # angstrom: a neighbour this much farther than the twelfth is as near as it
MAX_ANGLES = 1_000_000  # of a cell: 300 MB while it is folded; 1,000 atoms have 200,000
CLOSEST = 1e-3  # angstrom: nearer than this, two sites are one and the same place


@dataclass(frozen=True)
class Neighbourhood:
    """Which neighbours an atom is bonded to.

    Attributes:
        nearest: this many, and all that tie with the last of them.
        within: and all within this distance, in angstrom.
    """

    nearest: int = 12
    within: float = 0.0


TWELVE = Neighbourhood()


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """The atom graph of one structure; its edges are directed, each with its reverse.

    Attributes:
        features: [n, 92] CGCNN features, summed over a site's species times their occupancy.
        properties: [n, 23] Magpie's 22 properties summed likewise, and the occupancies' sum.
        source: [m] the atom an edge leaves.
        target: [m] the atom it arrives at.
        image: [m, 3] lattice translation of the target.
        vector: [m, 3] from source to target in angstrom.
    """

    features: np.ndarray
    properties: np.ndarray
    source: np.ndarray
    target: np.ndarray
    image: np.ndarray
    vector: np.ndarray


def build_graph(structure: "Structure", neighbourhood: Neighbourhood = TWELVE) -> CrystalGraph:
    """The atom graph of a structure, ordered or not.

    Raises ValueError for an element without features, a coordinate that is no number, a cell
    without volume, or two sites at one place.
    """
    features, properties = site_features(structure)
    i, j, image = _nearest(structure, neighbourhood)
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
    """All pairs of edges of which the second leaves the atom that the first arrives at.

    Raises ValueError where they are more than any crystal has: an atom that is the neighbour of all
    others has the square of their number.
    """
    by_source = np.argsort(source, kind="stable")
    leaving = np.bincount(source)  # [n]; every atom has a neighbour
    begins = np.cumsum(leaving) - leaving
    partners = leaving[target]  # [m] of each edge
    if partners.sum() > MAX_ANGLES:
        raise ValueError(f"The graph has {partners.sum():,} angles, more than {MAX_ANGLES:,}.")
    first = np.repeat(np.arange(len(source)), partners)
    rank = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    return first, by_source[np.repeat(begins[target], partners) + rank]


def _nearest(
    structure: "Structure", neighbourhood: Neighbourhood
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source, target and image of the neighbours of each atom, all ties with the last kept.

    The search begins with a sphere that would hold enough at the crystal's mean density, and
    widens for the atoms that it was too small for, however far their neighbours are.
    """
    nearest, within = neighbourhood.nearest, neighbourhood.within
    atoms, edges = np.arange(len(structure)), []
    radius = 1.5 * (3 * nearest * structure.volume / (4 * np.pi * len(atoms))) ** (1 / 3)
    radius = max(radius, within + TIE)
    while len(atoms):
        i, j, image, distance = neighbours(structure, radius, atoms=atoms, closest=CLOSEST)
        _refuse_coincident(structure, i, j, distance)
        centre = np.searchsorted(atoms, i)
        order = np.lexsort((distance, centre))
        centre, j, image, distance = (x[order] for x in (centre, j, image, distance))
        count = np.bincount(centre, minlength=len(atoms))
        enough = count >= nearest
        reach = np.full(len(atoms), np.inf)  # distance of the last, and what ties with it
        last = distance[(np.cumsum(count) - count)[enough] + nearest - 1]
        reach[enough] = np.maximum(last, within) + TIE
        settled = reach <= radius
        near = settled[centre] & (distance <= reach[centre])
        edges.append(np.column_stack([atoms[centre], j, image])[near])
        atoms, radius = atoms[~settled], radius * 1.5
    found = np.concatenate(edges)
    return found[:, 0], found[:, 1], found[:, 2:]


def _refuse_coincident(
    structure: "Structure", i: np.ndarray, j: np.ndarray, distance: np.ndarray
) -> None:
    if (distance < CLOSEST).any():
        worst = int(distance.argmin())
        names = " and ".join(structure[k].species_string for k in (i[worst], j[worst]))
        raise ValueError(f"The sites {names} are at one place; give it as one mixed site.")


def site_features(structure: "Structure") -> tuple[np.ndarray, np.ndarray]:
    """CGCNN features [n, 92] of all sites, and Magpie's properties with the occupancy, [n, 23].

    Both are sums over a site's species of occupancy times value, not normalised, so that a vacancy
    shows. Raises ValueError for an element that the tables do not hold.
    """
    kinds = [site.species for site in structure]
    rows = {kind: _site_rows(kind) for kind in set(kinds)}
    features, properties = zip(*(rows[kind] for kind in kinds), strict=True)
    return np.stack(features).astype(np.float32), np.stack(properties).astype(np.float32)


def _site_rows(species: "Composition") -> tuple[np.ndarray, np.ndarray]:
    places = [atomic_number(atom) - 1 for atom in species]
    occupancy = np.array(list(species.values()))
    properties = [*(occupancy @ magpie()[places]), occupancy.sum()]
    return occupancy @ cgcnn()[places], np.array(properties)
