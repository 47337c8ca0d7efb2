"""The fast model's Tc along a substitution."""

import pytest
from pymatgen.core import Composition

import supervision
from supervision.data.crystals import Crystal
from supervision.data.datasets.classics import load_classics
from supervision.data.substitution import Substitution
from supervision.design.doping.curve import CURVE_POINTS, doped
from supervision.web.series import substitution_series
from tracking.serving.site import load_served

LA_SR = Substitution("La", "Sr")
STEPS = CURVE_POINTS - 1
EXAMPLES = {crystal.id: crystal for crystal in load_classics()}


@pytest.fixture(scope="module")
def fast():
    return load_served("released:fast")


@pytest.fixture(scope="module")
def lsco(fast):
    crystal = EXAMPLES["lsco0.15"]
    return substitution_series(fast, Crystal(crystal.id, "", crystal.cif), LA_SR)


def test_points_are_what_the_model_answers_for_the_doped_crystals(lsco):
    model = supervision.load(fast=True)
    assert [point["fraction"] for point in lsco["points"]] == [i / STEPS for i in range(STEPS + 1)]
    for index in (0, 3, STEPS):
        crystal = doped(EXAMPLES["lsco0.15"], [LA_SR], [index / STEPS])
        assert model.answer(crystal.cif).tc_kelvin == lsco["points"][index]["tc_kelvin"]


def test_the_point_at_the_own_fraction_is_the_crystal_itself(lsco):
    own = supervision.load(fast=True).answer(EXAMPLES["lsco0.15"].cif)
    assert lsco["fraction"] == pytest.approx(0.075)
    assert lsco["points"][3]["tc_kelvin"] == pytest.approx(own.tc_kelvin)


def test_measured_materials_are_at_the_fraction_of_their_formula(lsco):
    measured = {m["formula"]: m for m in lsco["measured"]}
    assert measured["La1.85Sr0.15CuO4"]["fraction"] == pytest.approx(0.075, abs=1e-6)
    fractions = [m["fraction"] for m in lsco["measured"]]
    assert fractions == sorted(fractions)


def test_measured_materials_have_no_further_element(lsco):
    elements = {el.symbol for m in lsco["measured"] for el in Composition(m["formula"])}
    assert elements <= {"La", "Sr", "Cu", "O"}


def test_a_dopant_that_is_elsewhere_in_the_crystal_counts_there(fast):
    """YBa2Cu3O7 with Y on the sites of Ba: at 0, the measured YBa2Cu3O7 is at fraction 0."""
    crystal = EXAMPLES["yba2cu3o6.93"]
    found = substitution_series(fast, Crystal("ybco", "", crystal.cif), Substitution("Ba", "Y"))
    nearest = {m["formula"]: m["fraction"] for m in found["measured"]}
    assert nearest["Ba2YCu3O6.93"] == pytest.approx(0, abs=1e-6)
