"""Scenes: chemistry that a chemist would recognise, and the same scene for the same crystal."""

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from example_structures import ALL, la2cuo4, mgb2, nb3sn, niobium, triclinic
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Lattice, Structure

from supervision.data.cif import parse_cif
from supervision.data.elements import ATOMIC_RADIUS, channels
from supervision.models.vision.scene import BOND_REACH, SPLIT_SITE, Scene, build_scene

cases = pytest.mark.parametrize("structure", [f() for f in ALL.values()], ids=ALL)


def same(first: Scene, second: Scene) -> bool:
    """Bit for bit, the key included."""
    a, b = first.to_arrays(), second.to_arrays()
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


def sites_like(scene: Scene, symbol: str) -> list[int]:
    return np.flatnonzero(np.isclose(scene.channels, channels(symbol), atol=1e-3).all(1)).tolist()


def bond_set(scene: Scene) -> set[tuple[int, int, tuple[int, ...]]]:
    rows = zip(scene.bonds.tolist(), scene.images.tolist(), strict=True)
    return {(i, j, tuple(image)) for (i, j), image in rows}


def neighbours(scene: Scene, site: int) -> list[tuple[int, np.ndarray]]:
    """Site and vector (angstrom) of everything bonded to a site."""
    found = []
    for (i, j), image in zip(scene.bonds, scene.images, strict=True):
        vector = (scene.frac[j] + image - scene.frac[i]) @ scene.lattice
        if i == site:
            found.append((int(j), vector))
        if j == site:
            found.append((int(i), -vector))
    return found


def test_copper_in_la2cuo4_has_its_four_oxygens_in_the_plane():
    scene = build_scene(la2cuo4())
    for copper in sites_like(scene, "Cu"):
        oxygens = [v for j, v in neighbours(scene, copper) if j in sites_like(scene, "O")]
        planar = [v for v in oxygens if abs(v[2]) < 1e-3]
        assert [np.linalg.norm(v) for v in planar] == pytest.approx([1.89] * 4, abs=1e-3)
        # the two apical ones, 2.41 A away, complete the long octahedron
        assert all(np.linalg.norm(v[:2]) < 1e-3 for v in oxygens if abs(v[2]) > 1e-3)


def test_niobium_in_nb3sn_forms_chains_along_the_axes():
    scene = build_scene(nb3sn())
    niobiums = sites_like(scene, "Nb")
    directions = []
    for site in niobiums:
        first, second = [v for j, v in neighbours(scene, site) if j in niobiums]
        np.testing.assert_allclose(first, -second, atol=1e-3)  # straight on
        assert np.linalg.norm(first) == pytest.approx(5.29 / 2, abs=1e-3)
        directions.append(int(np.abs(first).argmax()))
        assert np.sort(np.abs(first))[1] < 1e-3  # along one axis
    assert sorted(directions) == [0, 0, 1, 1, 2, 2]


def test_boron_in_mgb2_is_a_honeycomb():
    scene = build_scene(mgb2())
    borons = sites_like(scene, "B")
    for site in borons:
        vectors = [v for j, v in neighbours(scene, site) if j in borons]
        assert len(vectors) == 3
        assert [np.linalg.norm(v) for v in vectors] == pytest.approx([3.086 / 3**0.5] * 3, abs=1e-3)
        np.testing.assert_allclose(sum(vectors), 0, atol=1e-3)  # 120 degrees apart
        assert all(abs(v[2]) < 1e-3 for v in vectors)


def test_bcc_has_eight_bonds_an_atom():
    scene = build_scene(niobium())
    assert len(scene.frac) == 1
    assert len(neighbours(scene, 0)) == 8


@cases
def test_bonds_are_those_of_a_plain_search(structure):
    """Every pair within four cells, judged by the rule as it is written."""
    scene = build_scene(structure)
    n = len(scene.frac)
    pairs = {}
    for i, j in itertools.product(range(n), repeat=2):
        for image in itertools.product(range(-4, 5), repeat=3):
            vector = (scene.frac[j] + image - scene.frac[i]) @ scene.lattice
            length = float(np.linalg.norm(vector))
            if length > SPLIT_SITE * (scene.radius[i] + scene.radius[j]) and length > 1e-9:
                pairs[i, j, image] = length
    shortest = [min(d for (i, _, _), d in pairs.items() if i == site) for site in range(n)]
    expected = {
        p for p, d in pairs.items() if d <= BOND_REACH * max(shortest[p[0]], shortest[p[1]])
    }

    found = bond_set(scene)
    backward = {(j, i, tuple(-x for x in t)) for i, j, t in found}
    assert len(found) == len(scene.bonds)
    assert not found & backward  # each bond once
    assert found | backward == expected


@cases
def test_the_same_crystal_written_otherwise_is_the_same_scene(structure):
    reference = build_scene(structure)
    order = np.random.default_rng(1).permutation(len(structure))
    shuffled = Structure.from_sites([structure[i] for i in order])
    shifted = structure.copy()
    shifted.translate_sites(range(len(shifted)), [1, -2, 3], to_unit_cell=False)
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    turned = Structure(
        Lattice(structure.lattice.matrix @ turn), structure.species_and_occu, structure.frac_coords
    )
    for other in (shuffled, shifted, turned):
        assert same(build_scene(other), reference)


def test_the_key_does_not_see_how_a_cif_is_laid_out():
    cif = la2cuo4(0.075).to(fmt="cif")
    spaced = "# a comment\n" + cif.replace("  ", "    ") + "\n\n"
    assert same(build_scene(parse_cif(cif)), build_scene(parse_cif(spaced)))


def test_a_mirror_image_is_another_crystal():
    structure = triclinic()
    flipped = Lattice(structure.lattice.matrix * [1, 1, -1])
    mirror = Structure(flipped, structure.species_and_occu, structure.frac_coords)
    assert np.linalg.det(build_scene(mirror).lattice) < 0
    assert build_scene(mirror).key != build_scene(structure).key


def test_the_key_sees_composition_occupancy_lattice_and_position():
    moved = la2cuo4(0.075)
    moved.translate_sites([0], [0.001, 0, 0])
    wider = la2cuo4(0.075)
    wider.scale_lattice(wider.volume * 1.001)
    others = [la2cuo4(), la2cuo4(0.08), la2cuo4(0.075, 0.99), moved, wider]
    assert len({build_scene(s).key for s in [la2cuo4(0.075), *others]}) == 6


@cases
def test_a_supercell_has_the_same_bonds_eightfold(structure):
    one, eight = build_scene(structure), build_scene(structure.make_supercell(2, in_place=False))
    assert len(eight.bonds) == 8 * len(one.bonds)
    degrees = [np.sort(np.bincount(s.bonds.ravel(), minlength=len(s.frac))) for s in (one, eight)]
    np.testing.assert_array_equal(np.repeat(degrees[0], 8), degrees[1])


def test_a_disordered_site_is_the_sum_of_what_is_on_it():
    scene = build_scene(la2cuo4(strontium=0.075, oxygen=0.9))
    lanthanum = 0.925 * np.array(channels("La")) + 0.075 * np.array(channels("Sr"))
    rows = np.isclose(scene.channels, lanthanum, atol=1e-3).all(axis=1)
    assert rows.sum() == 4
    assert scene.radius[rows] == pytest.approx(0.925 * 1.95 + 0.075 * 2.0, abs=1e-4)
    vacant = np.isclose(scene.channels, 0.9 * np.array(channels("O")), atol=1e-3).all(axis=1)
    assert vacant.sum() == 4  # darker by the vacancies, not brought back to a full atom
    assert scene.radius[vacant] == pytest.approx(ATOMIC_RADIUS["O"])


def test_deuterium_is_told_from_hydrogen():
    light, heavy = (
        build_scene(Structure(Lattice.cubic(4.1), ["Pd", x], [[0, 0, 0], [0.5, 0.5, 0.5]]))
        for x in ("H", "D")
    )
    assert heavy.key != light.key
    assert heavy.channels[1] == pytest.approx(channels("D"), abs=1e-3)


def test_two_halves_of_a_split_site_are_not_bonded_to_each_other():
    structure = Structure(
        Lattice.cubic(4.0),
        ["Nb", {"O": 0.5}, {"O": 0.5}],
        [[0, 0, 0], [0.5, 0.5, 0.45], [0.5, 0.5, 0.55]],
    )
    scene = build_scene(structure)
    lengths = [np.linalg.norm(v) for site in range(3) for _, v in neighbours(scene, site)]
    assert min(lengths) > 3  # Nb-O, not the 0.4 between the halves
    assert {site for site in range(3) if neighbours(scene, site)} == {0, 1, 2}


def test_a_far_neighbour_is_still_found():
    scene = build_scene(Structure(Lattice.cubic(23.0), ["Xe"], [[0.3, 0.3, 0.3]]))
    assert len(scene.bonds) == 3


@pytest.mark.filterwarnings("ignore")  # CrystalNN warns of missing oxidation states
def test_crystalnn_bonds_are_pymatgens():
    structure = mgb2()  # its sites are already in the scene's order
    scene = build_scene(structure, bonding="crystalnn")
    expected = set()
    for site in range(len(structure)):
        for near in CrystalNN().get_nn_info(structure, site):
            image = tuple(int(x) for x in near["image"])
            expected.add((site, near["site_index"], image))
            expected.add((near["site_index"], site, tuple(-x for x in image)))
    found = bond_set(scene)
    assert found | {(j, i, tuple(-x for x in t)) for i, j, t in found} == expected


def test_crystalnn_takes_the_most_abundant_species_of_a_disordered_site():
    ordered = build_scene(la2cuo4(), bonding="crystalnn")
    doped = build_scene(la2cuo4(0.075), bonding="crystalnn")
    np.testing.assert_array_equal(doped.bonds, ordered.bonds)
    np.testing.assert_array_equal(doped.images, ordered.images)
    assert len(doped.bonds)


def test_bonds_can_be_left_out():
    with_bonds, without = build_scene(nb3sn()), build_scene(nb3sn(), bonding="none")
    assert without.bonds.shape == (0, 2)
    assert without.images.shape == (0, 3)
    assert without.key == with_bonds.key


def test_an_unknown_bonding_is_named():
    with pytest.raises(ValueError, match="bonding 'fats' is not one of fast, crystalnn, none"):
        build_scene(nb3sn(), bonding="fats")


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(Lattice.cubic(3), ["Am"], [[0, 0, 0]]), "'Am' is not an element"),
        (Structure(Lattice.cubic(3), ["X"], [[0, 0, 0]]), "'X' is not an element"),
        (Structure(Lattice.orthorhombic(3, 3, 0.1), ["Fe"], [[0, 0, 0]]), "0.1 angstrom thick"),
        (Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["Fe"], [[0, 0, 0]]), "0 angstrom"),
        (Structure(Lattice.cubic(3), ["Fe"], [[0, np.nan, 0]]), "A site has a coordinate"),
    ],
    ids=["beyond Pu", "dummy", "thin cell", "flat cell", "no number"],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(structure, message):
    with pytest.raises(ValueError, match=message):
        build_scene(structure)


@cases
def test_a_scene_survives_a_file_without_pickles(structure):
    scene, file = build_scene(structure), io.BytesIO()
    np.savez(file, **scene.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        assert same(Scene.from_arrays(dict(arrays)), scene)


def test_a_file_that_lacks_an_array_is_refused():
    arrays = build_scene(nb3sn()).to_arrays()
    del arrays["radius"]
    with pytest.raises(KeyError, match="radius"):
        Scene.from_arrays(arrays)


def test_drawing_a_cached_scene_needs_no_pymatgen():
    code = "import sys, supervision.models.vision.render; sys.exit('pymatgen' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
