"""Symmetry folding: keeps one atom, bond and angle of each set that a network cannot distinguish.

A message-passing network on distances and angles gives equal states to atoms, bonds and angles with
equal surroundings. One representative of each class, with its multiplicity, is sufficient: sums
over neighbours become weighted sums, the mean over atoms a weighted mean, and the output is the
same up to rounding. ``python -m benchmarks.graphs`` prints the sizes for real crystals.

The classes are found by colour refinement on the line graph (Weisfeiler and Leman, 1968; the
coarsest equitable partition), not by a search for symmetry operations. They are exactly those that
the network cannot distinguish, and refinement takes about a millisecond.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from supervision.models.graph.build import CrystalGraph, line_graph

EQUALITY_TOLERANCE = 1e-4  # distances (in angstrom) and cosines that differ less are equal


@dataclass(frozen=True, eq=False)
class FoldedGraph:
    """Classes of equivalent atoms, edges and angles, each with its multiplicity.

    Attributes:
        features, properties: [n, 92] and [n, 23] of each atom class (see CrystalGraph).
        atoms: [n] number of atoms in the class.
        source, target: [m] the atom classes that an edge class joins.
        distance: [m] length of the edges in angstrom.
        edges: [m] number of such edges that arrive at one atom of the target class.
        first, second: [t] the edge classes that an angle class joins.
        cosine: [t] of the angle.
        angles: [t] number of such angles that arrive at one edge of the second class.
    """

    features: np.ndarray
    properties: np.ndarray
    atoms: np.ndarray
    source: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    second: np.ndarray
    cosine: np.ndarray
    angles: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, for ``np.savez``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FoldedGraph":
        """The inverse of ``to_arrays``. Raises KeyError if an array is missing."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def fold_graph(graph: CrystalGraph) -> FoldedGraph:
    """The classes of a graph's atoms, edges and angles, with their multiplicities."""
    source, target = graph.source, graph.target
    first, second, cosine = line_graph(graph)
    distance = np.linalg.norm(graph.vector, axis=1)
    cosine_cluster = _cluster(cosine)
    atom, edge = _refine(graph, first, second, cosine_cluster)
    angle = _row_classes(edge[first], edge[second], cosine_cluster)
    edge_member, angle_member = _representatives(edge), _representatives(angle)
    source, target = atom[source[edge_member]], atom[target[edge_member]]
    first, second = edge[first[angle_member]], edge[second[angle_member]]
    atoms, edges, angles = np.bincount(atom), np.bincount(edge), np.bincount(angle)
    return FoldedGraph(
        features=graph.features[_representatives(atom)],
        properties=graph.properties[_representatives(atom)],
        atoms=atoms.astype(np.float32),
        source=source,
        target=target,
        distance=(np.bincount(edge, distance) / edges).astype(np.float32),
        edges=(edges / atoms[target]).astype(np.float32),
        first=first,
        second=second,
        cosine=(np.bincount(angle, cosine) / angles).astype(np.float32),
        angles=(angles / edges[second]).astype(np.float32),
    )


def atom_classes(graph: CrystalGraph) -> np.ndarray:
    """The class of each atom, from 0, [n]; atoms of one class have equal surroundings."""
    first, second, cosine = line_graph(graph)
    return _refine(graph, first, second, _cluster(cosine))[0]


def _refine(
    graph: CrystalGraph, first: np.ndarray, second: np.ndarray, cosine_cluster: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The classes of atoms [n] and of edges [m], for the angles [t] of the line graph."""
    source, target = graph.source, graph.target
    atom = _row_classes(*graph.features.T)
    edge = _row_classes(_cluster(np.linalg.norm(graph.vector, axis=1)), atom[source], atom[target])
    counts = (0, 0)
    while counts != (counts := (_class_count(atom), _class_count(edge))):
        angles_at_edge = _row_classes(edge[first], cosine_cluster)
        edge = _row_classes(edge, _multiset_hashes(angles_at_edge, second, len(edge)))
        atom = _row_classes(atom, _multiset_hashes(edge, target, len(atom)))
        edge = _row_classes(edge, atom[source], atom[target])
    return atom, edge


def unfolded_graph(graph: CrystalGraph) -> FoldedGraph:
    """The graph in the same form, with one class per atom, edge and angle."""
    first, second, cosine = line_graph(graph)
    return FoldedGraph(
        features=graph.features,
        properties=graph.properties,
        atoms=np.ones(len(graph.features), dtype=np.float32),
        source=graph.source,
        target=graph.target,
        distance=np.linalg.norm(graph.vector, axis=1).astype(np.float32),
        edges=np.ones(len(graph.source), dtype=np.float32),
        first=first,
        second=second,
        cosine=cosine.astype(np.float32),
        angles=np.ones(len(first), dtype=np.float32),
    )


def _cluster(values: np.ndarray) -> np.ndarray:
    """Cluster index of each of ``[n]`` values; gaps above EQUALITY_TOLERANCE separate clusters."""
    order = np.argsort(values)
    clusters = np.zeros(len(values), dtype=np.int64)
    clusters[order[1:]] = np.cumsum(np.diff(values[order]) > EQUALITY_TOLERANCE)
    return clusters


def _row_classes(*columns: np.ndarray) -> np.ndarray:
    """Class of each row; rows with equal values are in one class. Classes are sorted by value."""
    order = np.lexsort(columns[::-1])
    changed = np.any([column[order[1:]] != column[order[:-1]] for column in columns], axis=0)
    classes = np.zeros(len(order), dtype=np.int64)
    classes[order[1:]] = np.cumsum(changed)
    return classes


def _multiset_hashes(classes: np.ndarray, owner: np.ndarray, owners: int) -> np.ndarray:
    """[owners] a hash of the multiset of the classes that belong to each owner.

    Each class has a random 64-bit number and the hash of a multiset is their sum. Different
    multisets have equal hashes with a probability of about 1e-19.
    """
    numbers = np.random.default_rng(0).integers(2**63, size=classes.max() + 1, dtype=np.uint64)
    sums = np.zeros(owners, dtype=np.uint64)
    np.add.at(sums, owner, numbers[classes])
    return sums


def _class_count(classes: np.ndarray) -> int:
    return int(classes.max()) + 1


def _representatives(classes: np.ndarray) -> np.ndarray:
    """The index of one member of each class."""
    return np.unique(classes, return_index=True)[1]
