"""A crystal's graph folded by its own symmetry: what looks alike to a network is kept once.

A message-passing network that reads distances and angles gives equal states to atoms, bonds and
angles whose surroundings are equal, so one of each kind, with the number of its copies, is all it
needs: the sums over neighbours become weighted sums, the mean over atoms a weighted mean, and the
answer is the same. How many that leaves of real crystals, ``python -m benchmarks.graphs`` prints.

The kinds are found by colour refinement (Weisfeiler and Leman, 1968; the coarsest equitable
partition) on the line graph, not by a search for symmetry operations: it sees exactly what the
network sees, and it takes a millisecond.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from supervision.models.graph.build import CrystalGraph, line_graph

ALIKE = 1e-4  # distances (angstrom) and cosines that differ less are the same


@dataclass(frozen=True, eq=False)
class FoldedGraph:
    """Kinds of atoms, edges and angles, each with its number of copies.

    Attributes:
        features, properties: [n, 92] and [n, 23] of a kind of atoms (see CrystalGraph).
        atoms: [n] how many atoms are of that kind.
        source, target: [m] the kinds of atoms that an edge joins.
        distance: [m] its length in angstrom.
        edges: [m] how many such edges arrive at one atom of the target kind.
        first, second: [t] the kinds of edges that an angle joins.
        cosine: [t] of the angle.
        angles: [t] how many such angles arrive at one edge of the second kind.
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
        """Plain arrays for ``np.savez``; ``from_arrays`` takes them back without pickles."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FoldedGraph":
        """The graph that ``to_arrays`` came from. Raises KeyError where an array is missing."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def fold(graph: CrystalGraph) -> FoldedGraph:
    """Fold a graph: a network's answer to both is the same but for rounding."""
    source, target = graph.source, graph.target
    first, second, cosine = line_graph(graph)
    distance = np.linalg.norm(graph.vector, axis=1)
    turn = _groups(cosine)
    atom = _labels(*graph.features.T)
    edge = _labels(_groups(distance), atom[source], atom[target])
    kinds = (0, 0)
    while kinds != (kinds := (_count(atom), _count(edge))):
        edge = _labels(edge, _multisets(_labels(edge[first], turn), second, len(edge)))
        atom = _labels(atom, _multisets(edge, target, len(atom)))
        edge = _labels(edge, atom[source], atom[target])
    angle = _labels(edge[first], edge[second], turn)
    one_edge, one_angle = _example(edge), _example(angle)  # of each kind
    source, target = atom[source[one_edge]], atom[target[one_edge]]
    first, second = edge[first[one_angle]], edge[second[one_angle]]
    atoms, edges, angles = np.bincount(atom), np.bincount(edge), np.bincount(angle)
    return FoldedGraph(
        features=graph.features[_example(atom)],
        properties=graph.properties[_example(atom)],
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


def unfolded(graph: CrystalGraph) -> FoldedGraph:
    """The same arrays with every atom, edge and angle a kind of its own."""
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


def _groups(values: np.ndarray) -> np.ndarray:
    """[n] values -> the number of the cluster each lies in; clusters are ALIKE apart or more."""
    order = np.argsort(values)
    groups = np.zeros(len(values), dtype=np.int64)
    groups[order[1:]] = np.cumsum(np.diff(values[order]) > ALIKE)
    return groups


def _labels(*columns: np.ndarray) -> np.ndarray:
    """Rows of equal columns get equal labels, counted from 0 in the order of the rows' values."""
    order = np.lexsort(columns[::-1])
    changed = np.any([column[order[1:]] != column[order[:-1]] for column in columns], axis=0)
    labels = np.zeros(len(order), dtype=np.int64)
    labels[order[1:]] = np.cumsum(changed)
    return labels


def _multisets(labels: np.ndarray, owner: np.ndarray, owners: int) -> np.ndarray:
    """[owners] a number for the multiset of the labels that each owns.

    Each label has a random 64-bit number and a multiset is their sum: equal multisets have equal
    sums, and unequal ones have too in one case of 10^19.
    """
    numbers = np.random.default_rng(0).integers(2**63, size=labels.max() + 1, dtype=np.uint64)
    sums = np.zeros(owners, dtype=np.uint64)
    np.add.at(sums, owner, numbers[labels])
    return sums


def _count(labels: np.ndarray) -> int:
    return int(labels.max()) + 1


def _example(labels: np.ndarray) -> np.ndarray:
    """[kinds] the index of one member of each kind."""
    return np.unique(labels, return_index=True)[1]
