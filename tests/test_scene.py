"""Scenes: bonds of known crystals, disorder, and the same scene for the same crystal."""

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
from supervision.models.vision.scene import (
    MAX_BOND_LENGTH_RATIO,
    MIN_SITE_DISTANCE_RATIO,
    Scene,
    build_scene,
)

cases = pytest.mark.parametrize("structure", [f() for f in ALL.values()], ids=ALL)


def same(first: Scene, second: Scene) -> bool:
    """Whether all arrays and the key are bitwise equal."""
    a, b = first.to_arrays(), second.to_arrays()
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


def sites_like(scene: Scene, symbol: str) -> list[int]:
    return np.flatnonzero(np.isclose(scene.channels, channels(symbol), atol=1e-3).all(1)).tolist()


def bond_set(scene: Scene) -> set[tuple[int, int, tuple[int, ...]]]:
    rows = zip(scene.bonds.tolist(), scene.images.tolist(), strict=True)
    return {(i, j, tuple(image)) for (i, j), image in rows}


def neighbours(scene: Scene, site: int) -> list[tuple[int, np.ndarray]]:
    """Site and vector (angstrom) of each neighbour bonded to a site."""
    found = []
    for (i, j), image in zip(scene.bonds, scene.images, strict=True):
        vector = (scene.frac[j] + image - scene.frac[i]) @ scene.lattice
        if i == site:
            found.append((int(j), vector))
        if j == site:
            found.append((int(i), -vector))
    return found


def test_copper_in_la2cuo4_has_four_planar_oxygen_neighbours():
    scene = build_scene(la2cuo4())
    for copper in sites_like(scene, "Cu"):
        oxygens = [v for j, v in neighbours(scene, copper) if j in sites_like(scene, "O")]
        planar = [v for v in oxygens if abs(v[2]) < 1e-3]
        assert [np.linalg.norm(v) for v in planar] == pytest.approx([1.89] * 4, abs=1e-3)
        # The two apical oxygens at 2.41 angstrom may be bonded too.
        assert all(np.linalg.norm(v[:2]) < 1e-3 for v in oxygens if abs(v[2]) > 1e-3)


def test_niobium_in_nb3sn_forms_chains_along_the_axes():
    scene = build_scene(nb3sn())
    niobiums = sites_like(scene, "Nb")
    directions = []
    for site in niobiums:
        first, second = [v for j, v in neighbours(scene, site) if j in niobiums]
        np.testing.assert_allclose(first, -second, atol=1e-3)  # a straight chain
        assert np.linalg.norm(first) == pytest.approx(5.29 / 2, abs=1e-3)
        directions.append(int(np.abs(first).argmax()))
        assert np.sort(np.abs(first))[1] < 1e-3  # along one axis
    assert sorted(directions) == [0, 0, 1, 1, 2, 2]


def test_boron_in_mgb2_forms_a_honeycomb():
    scene = build_scene(mgb2())
    borons = sites_like(scene, "B")
    for site in borons:
        vectors = [v for j, v in neighbours(scene, site) if j in borons]
        assert len(vectors) == 3
        assert [np.linalg.norm(v) for v in vectors] == pytest.approx([3.086 / 3**0.5] * 3, abs=1e-3)
        np.testing.assert_allclose(sum(vectors), 0, atol=1e-3)  # 120 degrees apart
        assert all(abs(v[2]) < 1e-3 for v in vectors)


def test_bcc_has_eight_bonds_per_atom():
    scene = build_scene(niobium())
    assert len(scene.frac) == 1
    assert len(neighbours(scene, 0)) == 8


@cases
def test_bonds_match_a_direct_search(structure):
    """All pairs within four cells, with the distance criterion applied directly."""
    scene = build_scene(structure)
    n = len(scene.frac)
    pairs = {}
    for i, j in itertools.product(range(n), repeat=2):
        for image in itertools.product(range(-4, 5), repeat=3):
            vector = (scene.frac[j] + image - scene.frac[i]) @ scene.lattice
            length = float(np.linalg.norm(vector))
            if (
                length > MIN_SITE_DISTANCE_RATIO * (scene.radius[i] + scene.radius[j])
                and length > 1e-9
            ):
                pairs[i, j, image] = length
    shortest = [min(d for (i, _, _), d in pairs.items() if i == site) for site in range(n)]
    expected = {
        p
        for p, d in pairs.items()
        if d <= MAX_BOND_LENGTH_RATIO * max(shortest[p[0]], shortest[p[1]])
    }

    found = bond_set(scene)
    backward = {(j, i, tuple(-x for x in t)) for i, j, t in found}
    assert len(found) == len(scene.bonds)
    assert not found & backward  # each bond once
    assert found | backward == expected


@cases
def test_site_order_lattice_translations_and_orientation_do_not_change_the_scene(structure):
    reference = build_scene(structure)
    order = np.random.default_rng(1).permutation(len(structure))
    shuffled = Structure.from_sites([structure[i] for i in order])
    shifted = structure.copy()
    shifted.translate_sites(range(len(shifted)), [1, -2, 3], to_unit_cell=False)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    lattice = Lattice(structure.lattice.matrix @ rotation)
    rotated = Structure(lattice, structure.species_and_occu, structure.frac_coords)
    for other in (shuffled, shifted, rotated):
        assert same(build_scene(other), reference)


def test_comments_and_spaces_in_a_cif_do_not_change_the_scene():
    cif = la2cuo4(0.075).to(fmt="cif")
    spaced = "# a comment\n" + cif.replace("  ", "    ") + "\n\n"
    assert same(build_scene(parse_cif(cif)), build_scene(parse_cif(spaced)))


def test_a_mirror_image_has_another_key():
    structure = triclinic()
    flipped = Lattice(structure.lattice.matrix * [1, 1, -1])
    mirror = Structure(flipped, structure.species_and_occu, structure.frac_coords)
    assert np.linalg.det(build_scene(mirror).lattice) < 0
    assert build_scene(mirror).key != build_scene(structure).key


def test_the_key_depends_on_composition_occupancy_lattice_and_positions():
    moved = la2cuo4(0.075)
    moved.translate_sites([0], [0.001, 0, 0])
    wider = la2cuo4(0.075)
    wider.scale_lattice(wider.volume * 1.001)
    others = [la2cuo4(), la2cuo4(0.08), la2cuo4(0.075, 0.99), moved, wider]
    assert len({build_scene(s).key for s in [la2cuo4(0.075), *others]}) == 6


@cases
def test_a_2x2x2_supercell_has_eight_times_the_bonds(structure):
    one, eight = build_scene(structure), build_scene(structure.make_supercell(2, in_place=False))
    assert len(eight.bonds) == 8 * len(one.bonds)
    degrees = [np.sort(np.bincount(s.bonds.ravel(), minlength=len(s.frac))) for s in (one, eight)]
    np.testing.assert_array_equal(np.repeat(degrees[0], 8), degrees[1])


def test_the_colour_of_a_disordered_site_is_the_sum_over_its_species():
    scene = build_scene(la2cuo4(strontium=0.075, oxygen=0.9))
    lanthanum = 0.925 * np.array(channels("La")) + 0.075 * np.array(channels("Sr"))
    rows = np.isclose(scene.channels, lanthanum, atol=1e-3).all(axis=1)
    assert rows.sum() == 4
    assert scene.radius[rows] == pytest.approx(0.925 * 1.95 + 0.075 * 2.0, abs=1e-4)
    vacant = np.isclose(scene.channels, 0.9 * np.array(channels("O")), atol=1e-3).all(axis=1)
    assert vacant.sum() == 4  # darker because of vacancies, not normalised
    assert scene.radius[vacant] == pytest.approx(ATOMIC_RADIUS["O"])


def test_deuterium_differs_from_hydrogen():
    light, heavy = (
        build_scene(Structure(Lattice.cubic(4.1), ["Pd", x], [[0, 0, 0], [0.5, 0.5, 0.5]]))
        for x in ("H", "D")
    )
    assert heavy.key != light.key
    assert heavy.channels[1] == pytest.approx(channels("D"), abs=1e-3)


def test_the_positions_of_a_split_site_are_not_bonded_to_each_other():
    structure = Structure(
        Lattice.cubic(4.0),
        ["Nb", {"O": 0.5}, {"O": 0.5}],
        [[0, 0, 0], [0.5, 0.5, 0.45], [0.5, 0.5, 0.55]],
    )
    scene = build_scene(structure)
    lengths = [np.linalg.norm(v) for site in range(3) for _, v in neighbours(scene, site)]
    assert min(lengths) > 3  # Nb-O, not the 0.4 within the split site
    assert {site for site in range(3) if neighbours(scene, site)} == {0, 1, 2}


def test_a_distant_neighbour_is_found():
    scene = build_scene(Structure(Lattice.cubic(23.0), ["Xe"], [[0.3, 0.3, 0.3]]))
    assert len(scene.bonds) == 3


@pytest.mark.filterwarnings("ignore")  # CrystalNN warns about missing oxidation states
def test_crystalnn_bonds_match_pymatgen():
    structure = mgb2()  # its sites are in the order of the scene
    scene = build_scene(structure, bonding="crystalnn")
    expected = set()
    for site in range(len(structure)):
        for near in CrystalNN().get_nn_info(structure, site):
            image = tuple(int(x) for x in near["image"])
            expected.add((site, near["site_index"], image))
            expected.add((near["site_index"], site, tuple(-x for x in image)))
    found = bond_set(scene)
    assert found | {(j, i, tuple(-x for x in t)) for i, j, t in found} == expected


def test_crystalnn_uses_the_most_abundant_species_of_a_disordered_site():
    ordered = build_scene(la2cuo4(), bonding="crystalnn")
    doped = build_scene(la2cuo4(0.075), bonding="crystalnn")
    np.testing.assert_array_equal(doped.bonds, ordered.bonds)
    np.testing.assert_array_equal(doped.images, ordered.images)
    assert len(doped.bonds)


def test_bonding_none_gives_no_bonds_and_the_same_key():
    with_bonds, without = build_scene(nb3sn()), build_scene(nb3sn(), bonding="none")
    assert without.bonds.shape == (0, 2)
    assert without.images.shape == (0, 3)
    assert without.key == with_bonds.key


def test_an_unknown_bonding_is_refused():
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
def test_invalid_structures_are_refused(structure, message):
    with pytest.raises(ValueError, match=message):
        build_scene(structure)


@cases
def test_a_scene_can_be_saved_and_loaded_without_pickle(structure):
    scene, file = build_scene(structure), io.BytesIO()
    np.savez(file, **scene.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        assert same(Scene.from_arrays(dict(arrays)), scene)


def test_a_missing_array_is_an_error():
    arrays = build_scene(nb3sn()).to_arrays()
    del arrays["radius"]
    with pytest.raises(KeyError, match="radius"):
        Scene.from_arrays(arrays)


def test_drawing_a_cached_scene_does_not_import_pymatgen():
    code = "import sys, supervision.models.vision.render; sys.exit('pymatgen' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
