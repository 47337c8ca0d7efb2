"""Formulas for readers: per formula unit, in one order, whatever the cell and the source."""

import pytest
from pymatgen.core import Composition, Lattice, Structure

from supervision.data.crystals import Crystal
from supervision.data.datasets.classics import load_classics
from supervision.data.errors import CrystalError
from supervision.data.formulas import crystal_formula, readable_formula, structure_formula

CLASSICS = {crystal.id: crystal for crystal in load_classics()}


@pytest.mark.parametrize(
    ("id", "formula"),
    [
        ("lsco0.15", "La1.85Sr0.15CuO4"),
        ("ba0.6k0.4fe2as2", "Ba0.6K0.4Fe2As2"),
        ("lafeaso0.89f0.11", "LaFeAsO0.89F0.11"),
        ("mgb2", "MgB2"),
    ],
)
def test_a_disordered_crystal_has_the_amounts_of_its_formula_unit(id, formula):
    assert crystal_formula(CLASSICS[id]) == formula
    structure = CLASSICS[id].structure
    assert structure_formula(structure.make_supercell([2, 1, 1], in_place=False)) == formula


@pytest.mark.parametrize("crystal", CLASSICS.values(), ids=CLASSICS)
def test_a_formula_is_the_composition_of_its_structure(crystal):
    shown = Composition(crystal_formula(crystal)).fractional_composition
    expected = crystal.composition.fractional_composition
    assert shown.almost_equals(expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("B2Fe0.02Mg0.98", "Mg0.98Fe0.02B2"),
        ("Cu1La1.85Sr0.15O4", "La1.85Sr0.15CuO4"),
        ("Y1Ba2Cu3O6.95", "Ba2YCu3O6.95"),
        ("Nb3Sn1", "Nb3Sn"),
        ("He1Na2", "Na2He"),
        ("no formula", "no formula"),
    ],
)
def test_formulas_of_any_order_are_written_in_one(given, shown):
    assert readable_formula(given) == shown


def test_a_vacancy_stays_a_vacancy():
    structure = Structure(
        Lattice.cubic(4), [{"Na": 0.5}, {"Cl": 1}, {"Na": 0.5}, {"Cl": 1}],
        [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0]],
    )  # fmt: skip
    assert structure_formula(structure) == "Na0.5Cl"


def test_a_crystal_of_a_formula_alone_has_that_formula():
    assert crystal_formula(Crystal("a", "Cu1La1.85Sr0.15O4", "")) == "La1.85Sr0.15CuO4"
    with pytest.raises(CrystalError, match="is not a chemical formula"):
        crystal_formula(Crystal("a", "Xx2", ""))
