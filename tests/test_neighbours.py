"""The neighbour search finds what it should, and ends before it is too much."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.hostile_cif import atoms, crystal
from supervision.data import neighbours as module
from supervision.data.cell_checks import MAX_ATOMS, check_geometry
from supervision.data.crystals import Crystal
from supervision.data.neighbours import neighbours
from supervision.models.graph.build import TWELVE, build_graph, edge_pairs
from supervision.models.graph.featurize import graph_of
from supervision.models.vision.scene import build_scene

RNG = np.random.default_rng(0)


def crowd(count, edge, spread=1.0, lattice=None):
    """Atoms anywhere in a corner of a cell."""
    cell = lattice or Lattice.cubic(edge)
    return Structure(cell, ["Nb"] * count, spread * RNG.random((count, 3)))


@pytest.mark.parametrize("radius", [3.1, 6.6])
@pytest.mark.parametrize(
    "structure",
    [crowd(7, 5.0), crowd(3, 0, lattice=Lattice.from_parameters(3, 4, 9, 60, 75, 110))],
    ids=["cubic", "oblique"],
)
def test_pairs_are_all_that_a_plain_search_finds(structure, radius):
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


def test_a_search_in_parts_finds_what_one_search_finds(monkeypatch):
    structure = crowd(40, 9.0)
    whole = neighbours(structure, 5.0)
    monkeypatch.setattr(module, "_parts", lambda *args: 7)
    for one, other in zip(in_order(whole), in_order(neighbours(structure, 5.0)), strict=True):
        np.testing.assert_array_equal(one, other)


def in_order(pairs):
    i, j, image, distance = pairs
    order = np.lexsort((*image.T, j, i))
    return i[order], j[order], image[order], distance[order]


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        (crowd(MAX_ATOMS + 1, 40), "The cell holds 1,001 atoms, more than 1,000"),
        (Structure(Lattice.cubic(3000), ["Nb"], [[0, 0, 0]]), "an edge of 3,000 angstrom"),
        (Structure(Lattice.cubic(400), ["Nb"], [[0, 0, 0]]), "cubic angstrom for a site"),
        (crowd(500, 6.0), "0.432 cubic angstrom for a site"),
        (Structure(Lattice.orthorhombic(4, 4, 0.2), ["Nb"], [[0, 0, 0]]), "angstrom thick"),
        (Structure(Lattice.cubic(3), ["Nb"], [[np.nan, 0, 0]]), "not a finite number"),
    ],
    ids=["atoms", "edge", "empty", "dense", "thin", "nan"],
)
def test_what_is_no_crystal_is_refused_before_any_search(structure, said):
    for read in (check_geometry, build_graph, build_scene, lambda s: neighbours(s, 5.0)):
        with pytest.raises(ValueError, match=said):
            read(structure)


def test_a_crowd_that_no_crystal_has_ends_in_a_sentence():
    structure = crowd(1000, 0, 0.02, Lattice.orthorhombic(0.6, 450, 450))
    for read in (build_graph, build_scene):
        with pytest.raises(ValueError, match=r"^The atoms have more than 2,000,000 neighbours"):
            read(structure)


def test_angles_are_counted_before_they_are_made():
    """An atom that is bonded to all others has as many as the square of their number."""
    hub, others = np.zeros(1500, dtype=int), np.arange(1, 1501)
    source, target = np.concatenate([hub, others]), np.concatenate([others, hub])
    with pytest.raises(ValueError, match="2,251,500 angles, more than 1,000,000"):
        edge_pairs(source, target)


def test_the_graph_of_a_thousand_atoms_is_read():
    cif = crystal(atoms(MAX_ATOMS), a=27)
    graph = graph_of(Crystal("big", "Nb", cif), TWELVE, folded=True)
    assert graph.atoms.sum() == MAX_ATOMS
