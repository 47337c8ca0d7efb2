"""What the page draws of a crystal, against pymatgen and hand-worked values."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from supervision.answer.known import FAMILY_SHOWN, KnownMaterials
from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal, Material
from supervision.web.crystal_view import crystal_view


def view(structure, known=None):
    return crystal_view(Crystal("test", "", structure_to_cif(structure)), known)


def material(formula, tc, *, is_computed=False):
    return Material(formula, formula, tc, (), is_computed=is_computed)


@pytest.fixture(scope="module")
def mixed():
    """Cubic: a mixed site at the corner, a fifth vacant, and oxygen in the centre."""
    return Structure(Lattice.cubic(4.0), [{"Ba": 0.5, "K": 0.3}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_atoms_on_faces_are_repeated_and_marked_as_images(mixed):
    atoms = view(mixed)["atoms"]
    corners = [atom for atom in atoms if atom["site"] == 0]
    assert len(atoms) == 9
    assert sorted(tuple(a["position"]) for a in corners) == sorted(
        tuple(4.0 * np.array(corner)) for corner in np.ndindex(2, 2, 2)
    )
    assert sum(not atom["is_image"] for atom in atoms) == len(mixed)


def test_species_and_vacancy_of_a_site_add_up_to_one(mixed):
    corner, centre = view(mixed)["sites"]
    assert [(s["symbol"], s["occupancy"]) for s in corner["species"]] == [("Ba", 0.5), ("K", 0.3)]
    assert corner["label"] == "Ba0.5K0.3"
    assert corner["vacancy"] == pytest.approx(0.2)
    assert centre["vacancy"] == 0
    assert centre["species"][0]["colour"] == "#ff0d0d"  # oxygen in Jmol


def test_bonds_join_atoms_at_the_distance_of_neighbours(mixed):
    found = view(mixed)
    position = np.array([atom["position"] for atom in found["atoms"]])
    lengths = [np.linalg.norm(position[i] - position[j]) for i, j in found["bonds"]]
    assert len(lengths) == 8
    assert lengths == pytest.approx([2 * np.sqrt(3)] * 8, abs=1e-3)


def test_the_space_group_and_the_mixed_pairs_are_named(mixed):
    found = view(mixed)
    assert found["space_group"] == "Pm-3m"
    assert [(s["host"], s["dopant"]) for s in found["substitutions"]] == [("Ba", "K")]
    assert found["substitutions"][0]["fraction"] == pytest.approx(0.375)


def test_the_order_of_the_sites_does_not_change_the_drawing(mixed):
    other = Structure.from_sites(mixed[::-1])
    positions = [
        sorted(map(tuple, (a["position"] for a in view(s)["atoms"]))) for s in (mixed, other)
    ]
    assert positions[0] == positions[1]
    assert [v["image"] for v in view(mixed)["views"]] == [v["image"] for v in view(other)["views"]]


def test_the_family_is_what_is_near_or_has_the_same_elements():
    known = KnownMaterials.of(
        [
            material("Nb3Sn", 18.0),
            material("NbSn2", 2.6),  # the same elements, far away
            material("Nb3Sn0.9Ge0.1", 17.0),  # near
            material("Nb3Ge", 23.0),  # another element set, 0.5 away
            material("Nb3Sn0.95", 17.5, is_computed=True),
        ]
    )
    found = known.family(known.fractions[0])
    assert [n.formula for n in found] == ["Nb3Sn", "Nb3Sn0.9Ge0.1", "NbSn2"]
    assert found[1].distance == pytest.approx(0.05, abs=1e-6)  # 0.1 of 4 atoms, twice


def test_a_large_family_is_cut_off_at_its_far_end():
    formulas = [f"Nb{300 - i}Sn{100 + i}" for i in range(FAMILY_SHOWN + 50)]
    known = KnownMaterials.of([material(formula, 1.0) for formula in formulas])
    found = known.family(known.fractions[0])
    assert [n.formula for n in found] == formulas[:FAMILY_SHOWN]
