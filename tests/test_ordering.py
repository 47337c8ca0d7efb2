"""Disordered crystals as ordered cells: size, composition, arrangement, and what is refused."""

from itertools import combinations

import numpy as np
import pytest
from example_structures import la2cuo4, mgb2, triclinic
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from supervision.data.errors import CrystalError
from supervision.design.theory import ordering
from supervision.design.theory.ordering import DISPERSED, IONIC, OrderingOptions, ordered_cell


def rock_salt(potassium):
    return Structure.from_spacegroup(
        "Fm-3m",
        Lattice.cubic(5.9),
        [{"Na": 1 - potassium, "K": potassium}, "Cl"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )


def alloy(niobium, lattice=3.3):
    return Structure(Lattice.cubic(lattice), [{"Nb": niobium, "Ti": 1 - niobium}], [[0, 0, 0]])


def test_the_smallest_cell_within_the_tolerance_is_found_with_its_error():
    """Of 2n La sites, one is the least Sr: 1/(7n) is within 0.01 of 0.15/7 from n = 5 on."""
    found = ordered_cell(la2cuo4(0.075), OrderingOptions(tolerance=0.01))
    assert found.structure.composition.formula == "Sr1 La9 Cu5 O20"
    assert found.cells == 5 and found.structure.is_ordered
    assert found.error == pytest.approx(1 / 35 - 0.15 / 7)
    assert found.method == IONIC


def test_vacancies_and_several_sublattices_are_rounded_together():
    found = ordered_cell(la2cuo4(0.25, oxygen=0.75), OrderingOptions(tolerance=0))
    assert found.structure.composition.formula == "Sr1 La3 Cu2 O7"
    many = ordered_cell(triclinic(), OrderingOptions())
    given = triclinic().composition
    differences = [
        many.structure.composition.get_atomic_fraction(el) - given.get_atomic_fraction(el)
        for el in given
    ]
    assert np.abs(differences).max() == pytest.approx(many.error)
    assert many.error <= 0.01 and len(many.structure) <= 40


def test_an_ordered_crystal_is_its_primitive_cell():
    found = ordered_cell(mgb2() * (2, 1, 1), OrderingOptions())
    assert (len(found.structure), found.cells, found.error, found.method) == (3, 1, 0, "")
    assert StructureMatcher(scale=False).fit(found.structure, mgb2())


def test_a_supercell_is_ordered_like_its_crystal():
    crystal = rock_salt(0.25)
    found, again = (ordered_cell(s, OrderingOptions()) for s in (crystal, crystal * (2, 1, 1)))
    assert found.structure.composition == again.structure.composition
    assert found.structure.volume == pytest.approx(again.structure.volume)
    assert found.structure.volume / 4 == pytest.approx(crystal.volume / 4)


def test_the_arrangement_has_the_least_ewald_energy_of_all():
    """Of the 70 arrangements of a cell, by pymatgen's energy of each."""
    supercell = ordering._supercell(rock_salt(0.5).get_primitive_structure(), 8)
    (sublattice,) = ordering._sublattices(supercell)
    assert ordering._charges(supercell) == ([{"Na": 1, "K": 1, "Cl": -1}], IONIC)
    charges = {"Na": 1.0, "K": 2.0, "Cl": -1.5}  # with equal ones all energies are equal
    labels = ordering._arrangement(supercell, [sublattice], [charges], seed=0)
    energies = {}
    for chosen in combinations(sublattice.sites, 4):
        tried = ["Cl" if site.is_ordered else "Na" for site in supercell]
        for site in chosen:
            tried[site] = "K"
        structure = Structure(supercell.lattice, tried, supercell.frac_coords)
        structure.add_oxidation_state_by_element(charges)
        energies[tuple(tried)] = EwaldSummation(structure).total_energy
    assert len(energies) == 70 and np.ptp(list(energies.values())) > 1
    assert energies[tuple(labels)] == pytest.approx(min(energies.values()), abs=1e-4)


def test_without_ionic_charges_the_atoms_of_an_element_are_dispersed():
    """On a simple cubic lattice, two elements alternate as in rock salt."""
    found = ordered_cell(alloy(0.5), OrderingOptions())
    assert found.method == DISPERSED and found.structure.composition.formula == "Ti1 Nb1"
    for site in found.structure:
        around = {n.specie.symbol for n in found.structure.get_neighbors(site, 3.4)}
        assert len(around) == 1 and around != {site.specie.symbol}


def test_dopants_are_as_far_apart_as_in_the_most_compact_cell():
    """Of 27 sites of a simple cubic lattice, a cube keeps them 3 a apart."""
    found = ordered_cell(alloy(26 / 27), OrderingOptions(tolerance=0))
    assert len(found.structure) == 27
    shortest = min(found.structure.lattice.get_lll_reduced_lattice().abc)
    assert shortest >= 3 * 3.3 - 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_cell(seed):
    options = OrderingOptions(seed=seed)
    one, other = (ordered_cell(alloy(0.6), options).structure for _ in range(2))
    assert one == other and one.composition.formula == "Ti2 Nb3"


def test_all_shapes_of_a_size_are_tried():
    """The number of sublattices of index n in three dimensions, OEIS A001001."""
    for cells, number in ((1, 1), (2, 7), (3, 13), (4, 35), (8, 155)):
        shapes = list(ordering._shapes(cells))
        assert len({shape.tobytes() for shape in shapes}) == len(shapes) == number
        assert {round(np.linalg.det(shape)) for shape in shapes} == {cells}


@pytest.mark.parametrize(
    ("crystal", "options", "message"),
    [
        (alloy(0.99), {}, "No ordered cell of up to 40 atoms has the elements of Ti0.01Nb0.99"),
        (alloy(0.6), {"max_atoms": 4, "tolerance": 0.01}, "the nearest is 0.067 away"),
        (mgb2(), {"max_atoms": 2}, "Its primitive cell has 3 atoms, over the 2 of max_atoms"),
        (
            Structure(
                Lattice.cubic(4), [{"Fe": 0.9}, {"Co": 0.9}], [[0, 0, 0], [0.07, 0, 0]]
            ),
            {},
            "Two of its partly occupied sites are 0.28 angstrom apart",
        ),
    ],
)  # fmt: skip
def test_a_crystal_without_an_ordered_cell_is_refused_in_a_sentence(crystal, options, message):
    with pytest.raises(CrystalError, match=message):
        ordered_cell(crystal, OrderingOptions(**options))


@pytest.mark.parametrize("option", [{"max_atoms": 0}, {"tolerance": -0.1}, {"seed": -1}])
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        OrderingOptions(**option)
