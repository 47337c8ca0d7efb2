"""The neighbour search finds all pairs, and refuses structures with too many."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.hostile_cif import atoms, crystal
from supervision.data import neighbours as module
from supervision.data.cell_checks import MAX_ATOMS, check_geometry
from supervision.data.crystals import Crystal
from supervision.data.neighbours import neighbours
from supervision.models.graph.build import DEFAULT_NEIGHBOURHOOD, build_graph, edge_pairs
from supervision.models.graph.featurize import build_crystal_graph
from supervision.models.vision.scene import build_scene

RNG = np.random.default_rng(0)


def random_structure(count, edge, spread=1.0, lattice=None):
    """Atoms at random positions in a corner of a cell."""
    cell = lattice or Lattice.cubic(edge)
    return Structure(cell, ["Nb"] * count, spread * RNG.random((count, 3)))


@pytest.mark.parametrize("radius", [3.1, 6.6])
@pytest.mark.parametrize(
    "structure",
    [
        random_structure(7, 5.0),
        random_structure(3, 0, lattice=Lattice.from_parameters(3, 4, 9, 60, 75, 110)),
    ],
    ids=["cubic", "oblique"],
)
def test_pairs_equal_those_of_an_exhaustive_search(structure, radius):
    i, j, image, distance = neighbours(structure, radius)
    found = {(int(a), int(b), *map(int, t)) for a, b, t in zip(i, j, image, strict=True)}
    steps = np.stack(np.meshgrid(*[range(-5, 6)] * 3), axis=-1).reshape(-1, 3)
    expected = set()
    for a in range(len(structure)):
        for b in range(len(structure)):
            apart = structure.frac_coords[b] + steps - structure.frac_coords[a]
            length = np.linalg.norm(apart @ structure.lattice.matrix, axis=1)
            for step in steps[(length <= radius) & (length > 0)]:
                expected.add((a, b, *map(int, step)))
    assert found == expected
    assert (distance <= radius + 1e-6).all()


def test_divided_search_finds_the_same_pairs(monkeypatch):
    structure = random_structure(40, 9.0)
    whole = neighbours(structure, 5.0)
    monkeypatch.setattr(module, "_search_count", lambda *args: 7)
    for one, other in zip(sort_pairs(whole), sort_pairs(neighbours(structure, 5.0)), strict=True):
        np.testing.assert_array_equal(one, other)


def sort_pairs(pairs):
    i, j, image, distance = pairs
    order = np.lexsort((*image.T, j, i))
    return i[order], j[order], image[order], distance[order]


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (random_structure(MAX_ATOMS + 1, 40), "The cell holds 1,001 atoms, more than 1,000"),
        (Structure(Lattice.cubic(3000), ["Nb"], [[0, 0, 0]]), "an edge of 3,000 angstrom"),
        (Structure(Lattice.cubic(400), ["Nb"], [[0, 0, 0]]), "cubic angstrom per site"),
        (random_structure(500, 6.0), "0.432 cubic angstrom per site"),
        (Structure(Lattice.orthorhombic(4, 4, 0.2), ["Nb"], [[0, 0, 0]]), "angstrom thick"),
        (Structure(Lattice.cubic(3), ["Nb"], [[np.nan, 0, 0]]), "not a finite number"),
    ],
    ids=["atoms", "edge", "empty", "dense", "thin", "nan"],
)
def test_invalid_geometry_is_refused_before_the_search(structure, message):
    for read in (check_geometry, build_graph, build_scene, lambda s: neighbours(s, 5.0)):
        with pytest.raises(ValueError, match=message):
            read(structure)


def test_too_many_neighbours_are_refused():
    structure = random_structure(1000, 0, 0.02, Lattice.orthorhombic(0.6, 450, 450))
    for read in (build_graph, build_scene):
        with pytest.raises(ValueError, match=r"^The atoms have more than 2,000,000 neighbours"):
            read(structure)


def test_number_of_angles_is_checked_before_they_are_created():
    """An atom that is bonded to all others has as many angles as the square of their number."""
    hub, others = np.zeros(1500, dtype=int), np.arange(1, 1501)
    source, target = np.concatenate([hub, others]), np.concatenate([others, hub])
    with pytest.raises(ValueError, match="2,251,500 angles, more than 1,000,000"):
        edge_pairs(source, target)


def test_graph_of_a_thousand_atoms_is_built():
    cif = crystal(atoms(MAX_ATOMS), a=27)
    graph = build_crystal_graph(Crystal("big", "Nb", cif), DEFAULT_NEIGHBOURHOOD, folded=True)
    assert graph.atoms.sum() == MAX_ATOMS
