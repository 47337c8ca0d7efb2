"""Structural descriptors: invariance, values of known crystals, and the methods behind them."""

import numpy as np
import pytest
from example_structures import mgb2, nb3sn, niobium, triclinic
from pymatgen.analysis.local_env import VoronoiNN
from pymatgen.core import DummySpecies, Lattice, Structure

from supervision.data.datasets import load_dataset
from supervision.data.datasets.classics import build_structure, read_table
from supervision.models.structure.descriptors import layers
from supervision.models.structure.descriptors.bonds import find_surroundings
from supervision.models.structure.descriptors.density import DENSITY, DISORDER
from supervision.models.structure.descriptors.layers import plane_normals
from supervision.models.structure.descriptors.percolation import percolation_thresholds
from supervision.models.structure.descriptors.shell import SHELL
from supervision.models.structure.descriptors.symmetry import SYMMETRY
from supervision.models.structure.descriptors.voronoi import voronoi_cell
from supervision.models.structure.features import (
    DESCRIPTORS,
    structure_feature_names,
    structure_features,
)

CLASSICS = {entry.id: entry for entry in read_table()}
CRYSTALS = (
    "nb", "mgb2", "nb3sn", "lsco0.15", "yba2cu3o6.93", "fese", "lafeaso", "pbmo6s8", "yni2b2c",
    "mo2n", "babio3", "nbse2", "pdh",
)  # fmt: skip
SUPERCELLS = {
    "skewed": [[1, 0, 0], [1, 1, 0], [-1, 2, 1]],
    "doubled": [[1, 1, 0], [-1, 1, 0], [0, 1, 1]],
}
# Cesium chloride: each atom is at the centre of a cube of the other kind.
CSCL = Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])


def classic(name):
    return build_structure(CLASSICS[name])


def cubic(group, edge=4.0, symbol="Nb"):
    return Structure.from_spacegroup(group, Lattice.cubic(edge), [symbol], [[0, 0, 0]])


def describe(structure):
    """The descriptors by name."""
    return dict(zip(structure_feature_names(), structure_features(structure), strict=True))


def in_another_setting(structure, supercell, seed=0):
    """The same crystal rotated, with another cell, origin and order of the sites."""
    rng = np.random.default_rng(seed)
    cell = structure.copy()
    cell.make_supercell(supercell, to_unit_cell=False)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(len(cell))
    return Structure(
        Lattice(cell.lattice.matrix @ rotation),
        [cell[k].species for k in order],
        cell.frac_coords[order] + rng.random(3),
        to_unit_cell=True,
    )


def assert_same(found, expected, **tolerance):
    wrong = {
        name: (value, expected[name])
        for name, value in found.items()
        if not np.isclose(value, expected[name], equal_nan=True, **tolerance)
    }
    assert not wrong


# --- names and invariance


def test_every_descriptor_has_one_name_and_a_meaning():
    names = structure_feature_names()
    assert len(set(names)) == len(names) == len(structure_features(niobium()))
    assert all(DESCRIPTORS[name].strip() for name in names)


@pytest.mark.parametrize("supercell", SUPERCELLS)
@pytest.mark.parametrize("name", [*CRYSTALS, "triclinic"])
def test_descriptors_do_not_depend_on_cell_orientation_origin_or_order(name, supercell):
    structure = triclinic() if name == "triclinic" else classic(name)
    other = in_another_setting(structure, SUPERCELLS[supercell])
    assert_same(describe(other), describe(structure), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["nb", "lsco0.15", "yni2b2c", "fese", "pbmo6s8"])
def test_primitive_and_conventional_cells_have_the_same_descriptors(name):
    structure = classic(name)
    primitive = structure.get_primitive_structure()
    assert len(primitive) <= len(structure)
    assert_same(describe(primitive), describe(structure), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CRYSTALS)
def test_small_displacements_change_all_but_the_symmetry_little(name):
    structure = classic(name)
    moved = structure.copy()
    moved.perturb(1e-5)
    continuous = {k: v for k, v in describe(moved).items() if k not in SYMMETRY}
    assert_same(continuous, describe(structure), rtol=1e-2, atol=1e-2)


def test_equal_structures_have_bitwise_equal_descriptors():
    np.testing.assert_array_equal(
        structure_features(classic("lsco0.15")), structure_features(classic("lsco0.15"))
    )


@pytest.mark.parametrize("name", ["mgb2", "nb3sn", "fese"])
def test_uniform_scaling_changes_lengths_and_leaves_shapes(name):
    structure = classic(name)
    larger = structure.copy()
    larger.scale_lattice(structure.volume * 1.01**3)
    before, after = describe(structure), describe(larger)
    for key in ("mean coordination number", "mean shell q4", "layering", "third lattice length"):
        assert after[key] == pytest.approx(before[key])
    for key in ("plane spacing", "largest void", "mean nearest neighbour", "percolation 3D"):
        assert after[key] == pytest.approx(1.01 * before[key])


# --- values of known crystals


def assert_values(structure, expected):
    found = describe(structure)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_niobium():
    """bcc with a = 3.3: 8 neighbours at a sqrt(3)/2 and 6 at a.

    Its Voronoi cell is the truncated octahedron, whose six square faces are seen under the solid
    angle 4 arcsin(1/9). The densest planes are (110). Corners are a sqrt(5)/4 from the atom.
    """
    a, radius = 3.3, 1.64
    square = 4 * np.arcsin(1 / 9)
    hexagon = (4 * np.pi - 6 * square) / 8
    near, far = a * np.sqrt(3) / 2 / (2 * radius), a / (2 * radius)
    assert_values(
        niobium(),
        {
            "volume per atom": a**3 / 2,
            "valence electrons per volume": 5 / (a**3 / 2),
            "d electrons per volume": 4 / (a**3 / 2),
            "packing fraction": 4 / 3 * np.pi * radius**3 / (a**3 / 2),
            "largest void": a * np.sqrt(5) / 4,
            "space group number": 229,
            "point group order": 48,
            "inversion": 1,
            "sites of the primitive cell": 1,
            "distinct sites": 1,
            "site symmetry": 48,
            "third lattice length": 1,
            "mean coordination number": 8 + 6 * square / hexagon,
            "minimum nearest neighbour": near,
            "mean shell distance": (8 * hexagon * near + 6 * square * far) / (4 * np.pi),
            "maximum shell q2": 0,
            "metal-metal share": 1,
            "planarity": 0,
            "percolation 3D": near,
            "layering": 1,
            "plane spacing": a / np.sqrt(2),
            "mean spacing": a / np.sqrt(2),
            "empty slab": a / np.sqrt(2) - 2 * radius,
            "metal-metal distance": a * np.sqrt(3) / 2,
            "like atom distance": near,
        },
    )


def test_magnesium_diboride():
    """Flat honeycombs of B, a / sqrt(3) apart, c above each other; Mg in between."""
    a, c, boron = 3.086, 3.524, 0.84
    found = describe(mgb2())
    assert found["B-B distance"] == pytest.approx(a / np.sqrt(3))
    assert found["ligand-ligand share"] > 0 and found["framework planarity"] > 0.99
    assert found["framework linearity"] == pytest.approx(0, abs=1e-9)
    assert found["framework percolation 2D"] == pytest.approx(a / np.sqrt(3) / (2 * boron))
    assert found["framework layering"] == pytest.approx(c / (a / np.sqrt(3)))
    assert found["framework plane spacing"] == pytest.approx(c)
    assert found["framework empty slab"] == pytest.approx(c - 2 * boron)
    assert found["plane spacing"] == pytest.approx(c / 2)
    assert found["distinct sites"] == 2 and found["site symmetry"] == pytest.approx(
        (24 + 2 * 12) / 3
    )
    assert np.isnan(found["metal-metal distance"]) and np.isnan(found["Cu-O distance"])


def test_chains_of_a15():
    """Each Nb of Nb3Sn has two Nb in its chain at a / 2, eight at a sqrt(6) / 4, and Sn between."""
    a, radius = 5.29, 1.64
    found = describe(nb3sn())
    assert found["like metal distance"] == pytest.approx(a / 2 / (2 * radius))
    assert found["metal-tetrel distance"] == pytest.approx(a * np.sqrt(5) / 4)
    assert found["percolation 1D"] < found["percolation 2D"] == found["percolation 3D"]
    assert found["planarity"] == pytest.approx(0, abs=1e-9)
    assert found["mean local linearity"] > 0.3 and found["like metal linearity"] > 0.4
    assert 2 < found["like metal coordination number"] < 10


def test_iron_selenide():
    """Se is z c above the Fe plane, whose squares have the edge a / sqrt(2)."""
    a, c, z = 3.7724, 5.5217, 0.2672
    found = describe(classic("fese"))
    distance = np.hypot(a / 2, z * c)
    assert found["Fe-anion height"] == pytest.approx(z * c, abs=1e-3)
    assert found["metal-chalcogen distance"] == pytest.approx(distance)
    assert found["metal-metal distance"] == pytest.approx(a / np.sqrt(2))
    assert found["plane spacing"] == pytest.approx((1 - 2 * z) * c)
    assert found["transition metal plane spacing"] == pytest.approx(c)
    # Of the three partners of a Fe at one Se, two are a / sqrt(2) and one is a away.
    side, across = 1 - (a / distance) ** 2 / 4, 1 - (a / distance) ** 2 / 2
    assert found["Fe-anion bridge cosine"] == pytest.approx((2 * side + across) / 3, abs=1e-3)


def test_an_ideal_tetrahedron_has_no_angle_deviation():
    """Fe in the zincblende structure: all four S at the tetrahedral angle."""
    structure = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.4), ["Fe", "S"], [[0, 0, 0], [0.25] * 3]
    )
    assert_values(
        structure,
        {
            "Fe-anion angle deviation": 0,
            "Fe-anion bridge cosine": -1 / 3,
            "Fe-anion height": 0,
            "metal-ligand coordination number": 4,
        },
    )


def test_layered_cuprate():
    """La1.85Sr0.15CuO4: O at a / 2 in the plane, apical O at 0.1824 c, planes c / 2 apart."""
    a, c = 3.7793, 13.226
    found = describe(classic("lsco0.15"))
    assert found["Cu-O distance"] == found["Cu-O plane distance"] == pytest.approx(a / 2)
    assert found["Cu-O apex distance"] == pytest.approx(0.1824 * c)
    assert found["Cu-O apex ratio"] == pytest.approx(0.1824 * c / (a / 2))
    assert found["Cu-O bridge cosine"] == pytest.approx(-1, abs=1e-6)
    assert 4 < found["Cu-O coordination number"] < 5
    assert found["transition metal plane spacing"] == pytest.approx(c / 2)
    assert found["framework layering"] > 2 > found["layering"]


def test_planes_in_blocks_have_a_smaller_mean_spacing_than_their_largest():
    """Cu planes at 0 and 3 of a period of 15 angstrom: spacings of 3 and 12."""
    structure = Structure(Lattice.tetragonal(3.9, 15), ["Cu", "Cu"], [[0, 0, 0], [0.5, 0.5, 0.2]])
    assert_values(
        structure,
        {
            "transition metal plane spacing": 12,
            "transition metal mean spacing": (12**2 + 3**2) / 15,
        },
    )


def test_disorder_of_mixed_and_partly_vacant_sites():
    """Occupancies 1, 0.6 + 0.3, 1, 0.5 + 0.5, 1 (``triclinic`` with full sites else)."""
    fe, co, se, te = 1.32, 1.26, 1.20, 1.38
    mixed = (
        -(0.6 * np.log(0.6) + 0.3 * np.log(0.3) + 0.1 * np.log(0.1)),
        np.log(2),
    )
    spread = np.sqrt(2 / 3 * 1 / 3) * (fe - co), 0.5 * (te - se)
    assert_values(
        triclinic(),
        {
            "vacancy share": 0.1 / 5,
            "largest vacancy share": 0.1,
            "mixed share": 1.9 / 4.9,
            "site entropy": sum(mixed) / 5,
            "largest site entropy": max(mixed),
            "radius mismatch": (0.9 * spread[0] + spread[1]) / 4.9,
            "volume per atom": triclinic().volume / 4.9,
        },
    )


def test_chemical_order_is_one_without_like_neighbours_and_zero_for_random_mixing():
    """CsCl: the like neighbours at a have faces too, so that the order is between 0 and 1."""
    random = cubic("Im-3m")
    random.replace_species({"Nb": {"Nb": 0.5, "Ta": 0.5}})
    assert describe(random)["chemical order"] == pytest.approx(0, abs=1e-9)
    assert 0 < describe(CSCL)["chemical order"] < 1
    assert describe(classic("mo2n"))["chemical order"] == pytest.approx(1, abs=1e-6)


# --- Voronoi cells


@pytest.mark.parametrize(
    ("group", "neighbours", "q4", "q6"),
    [("Pm-3m", 6, 0.7638, 0.3536), ("Fm-3m", 12, 0.1909, 0.5745)],
    ids=["simple cubic", "fcc"],
)
def test_cubic_lattices_have_the_published_bond_order_parameters(group, neighbours, q4, q6):
    """Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983), table I."""
    found = describe(cubic(group))
    assert found["mean coordination number"] == pytest.approx(neighbours)
    assert found["mean shell q4"] == pytest.approx(q4, abs=1e-4)
    assert found["mean shell q6"] == pytest.approx(q6, abs=1e-4)


@pytest.mark.parametrize("name", ["mgb2", "fese", "lafeaso"])
def test_voronoi_cells_match_pymatgen(name):
    structure = classic(name)
    around = find_surroundings(structure)
    for site in range(len(structure)):
        faces = VoronoiNN(tol=0).get_voronoi_polyhedra(structure, site).values()
        expected = sorted(face["solid_angle"] / (4 * np.pi) for face in faces)
        share = np.sort(around.share[around.i == site])[-len(expected) :]
        np.testing.assert_allclose(share, expected, atol=1e-6)
        volume = sum(face["volume"] for face in faces)
        assert around.cell_volume[site] == pytest.approx(volume)


@pytest.mark.parametrize("name", [*CRYSTALS, "triclinic"])
def test_voronoi_cells_fill_the_crystal_and_faces_the_solid_angle(name):
    structure = triclinic() if name == "triclinic" else classic(name)
    around = find_surroundings(structure)
    assert around.cell_volume.sum() == pytest.approx(structure.volume)
    np.testing.assert_allclose(np.bincount(around.i, around.share), 1, atol=1e-6)


def test_an_atom_that_is_not_enclosed_has_no_cell():
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    cube = voronoi_cell(2 * octahedron)
    assert cube.volume == pytest.approx(8) and cube.radius == pytest.approx(np.sqrt(3))
    np.testing.assert_allclose(cube.share, 1 / 6)
    assert voronoi_cell(octahedron[:5]) is None
    assert voronoi_cell(octahedron[:3]) is None
    assert voronoi_cell(octahedron[:0]) is None


def test_the_search_widens_until_distant_atoms_enclose_each_other():
    assert_values(
        cubic("Pm-3m", 20.0, "Ar"),
        {
            "mean coordination number": 6,
            "percolation 3D": 20 / 2.12,
            "plane spacing": 20,
            "empty slab": 20 - 2.12,
            "largest void": 10 * np.sqrt(3),
        },
    )


# --- networks and layers


def test_percolation_of_single_bonds():
    """Bonds of a site to its images along a, a again, b and c."""
    site = np.zeros(4, dtype=int)
    image = np.array([[1, 0, 0], [2, 0, 0], [1, 1, 0], [0, 0, 1]])
    length = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(percolation_thresholds(site, site, image, length), [1, 3, 4])
    found = percolation_thresholds(site[:2], site[:2], image[:2], length[:2])
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])


def test_rings_do_not_percolate_and_separate_chains_do_not_add_up():
    """Three sites in a ring across a cell boundary; then chains along a and along b."""
    i, j = np.array([0, 1, 0]), np.array([1, 2, 2])
    ring = np.array([[1, 0, 0], [-1, 0, 0], [0, 0, 0]])
    assert np.isnan(percolation_thresholds(i, j, ring, np.ones(3))).all()
    chains = np.array([[1, 0, 0], [0, 1, 0]])
    found = percolation_thresholds(i[:2], i[:2], chains, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])
    joined = percolation_thresholds(
        np.array([0, 1, 0]), np.array([0, 1, 1]), np.array([*chains, [0, 0, 5]]), np.arange(1.0, 4)
    )
    np.testing.assert_array_equal(joined, [1, 3, np.nan])


def test_plane_normals_are_those_of_a_direct_search():
    """All coprime indices up to 5 in a cell with periods above one angstrom."""
    matrix = Lattice.from_parameters(3, 3.5, 4.2, 80, 95, 105).matrix
    grid = np.stack(np.meshgrid(*[range(-6, 7)] * 3), axis=-1).reshape(-1, 3)
    grid = grid[np.gcd.reduce(grid, axis=1) == 1] @ np.linalg.inv(matrix).T
    expected = grid[np.linalg.norm(grid, axis=1) <= 1]
    found = plane_normals(matrix, 10_000)
    assert 2 * len(found) == len(expected)
    both = np.concatenate([found, -found])
    np.testing.assert_allclose(
        both[np.lexsort(both.round(6).T)], expected[np.lexsort(expected.round(6).T)], atol=1e-9
    )
    assert len(plane_normals(matrix, 5)) < 10


def test_layers_are_the_widest_of_all_directions(monkeypatch):
    """Directions that cannot have the widest are passed over; in one chunk, none are."""
    random = np.random.default_rng(0)
    normals = plane_normals(Lattice.from_parameters(7, 8, 9, 80, 95, 105).matrix, 10_000)
    for count in (1, 2, 5, 12):
        for sizes in ((0.3, 2.5), (1, 1)):
            xyz, radii = random.uniform(0, 9, (count, 3)), random.uniform(*sizes, count)
            monkeypatch.setattr(layers, "FIRST_DIRECTIONS", len(normals))
            expected = layers._layers_of(xyz, radii, normals)
            monkeypatch.setattr(layers, "FIRST_DIRECTIONS", 1)
            np.testing.assert_allclose(layers._layers_of(xyz, radii, normals), expected, atol=1e-9)


# --- disordered and unusable crystals


def test_sites_that_cannot_be_occupied_at_once_are_no_neighbours():
    """An O site that is split into two half-occupied positions, 0.4 angstrom apart."""
    cell, places = Lattice.cubic(4.0), [[0, 0, 0], [0.5, 0.5, 0.45], [0.5, 0.5, 0.55]]
    found = describe(Structure(cell, ["Nb", {"O": 0.5}, {"O": 0.5}], places))
    assert found["metal-oxygen distance"] == pytest.approx(4 * np.sqrt(0.5 + 0.45**2))
    assert found["like atom distance"] == pytest.approx(4 / (2 * 1.64))


def test_deuterium_counts_as_hydrogen():
    heavy, light = classic("pdh"), classic("pdh")
    heavy.replace_species({"H": "D"})
    assert_same(describe(heavy), describe(light), rtol=1e-12)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (cubic("Pm-3m", symbol="Am"), "There are no features for Am"),
        (
            Structure(Lattice.cubic(4), [DummySpecies("X")], [[0, 0, 0]]),
            "There are no features for X",
        ),
        (Structure(Lattice.cubic(4), ["Nb", "Ta"], [[0, 0, 0]] * 2), "are at one position"),
        (Structure(Lattice.orthorhombic(4, 4, 0.2), ["Nb"], [[0, 0, 0]]), "angstrom thick"),
    ],
    ids=["Am", "dummy", "coincident", "thin"],
)
def test_unusable_structures_are_refused_with_one_sentence(structure, message):
    with pytest.raises(ValueError, match=message):
        structure_features(structure)


@pytest.mark.shared
def test_descriptors_of_real_crystals_are_finite_where_they_apply_and_invariant(shared_data):
    crystals = load_dataset("3dsc", str(shared_data / "3dsc" / "3DSC_MP.tar.xz")).crystals
    rng = np.random.default_rng(5)
    always = DENSITY | DISORDER | SYMMETRY | SHELL
    for index in rng.permutation(len(crystals))[:25]:
        structure = crystals[index].structure
        found = describe(structure)
        assert not np.isinf(list(found.values())).any()
        assert np.isfinite([found[name] for name in always]).all()
        if len(structure) <= 20:
            other = in_another_setting(structure, SUPERCELLS["doubled"])
            assert_same(describe(other), found, rtol=1e-6, atol=1e-6)
