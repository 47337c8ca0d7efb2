"""One element replaces another: occupancies, and what is refused."""

import pytest
from pymatgen.core import Lattice, Structure

from supervision.data.errors import CrystalError
from supervision.data.substitution import dopant_fraction, mixed_pairs, substituted

LSCO = Structure.from_spacegroup(
    "I4/mmm",
    Lattice.tetragonal(3.7793, 13.226),
    [{"La": 0.925, "Sr": 0.075}, "Cu", "O", "O"],
    [[0, 0, 0.3606], [0, 0, 0], [0, 0.5, 0], [0, 0, 0.1828]],
)


def test_the_own_fraction_gives_the_same_crystal():
    fraction = dopant_fraction(LSCO, "La", "Sr")
    assert fraction == pytest.approx(0.075)
    assert substituted(LSCO, "La", "Sr", fraction) == LSCO


@pytest.mark.parametrize(
    ("host", "dopant", "fraction", "formula"),
    [
        ("La", "Sr", 0.0, "La4 Cu2 O8"),
        ("La", "Sr", 0.5, "La2 Sr2 Cu2 O8"),
        ("La", "Sr", 1.0, "Sr4 Cu2 O8"),
        ("Cu", "Zn", 0.25, "La3.7 Sr0.3 Zn0.5 Cu1.5 O8"),
        ("La", "Ba", 1.0, "Ba3.7 Sr0.3 Cu2 O8"),  # strontium keeps its share
        ("Sr", "La", 1.0, "La4 Cu2 O8"),
    ],
)
def test_what_host_and_dopant_share_is_divided_anew(host, dopant, fraction, formula):
    found = substituted(LSCO, host, dopant, fraction)
    expected = Structure(LSCO.lattice, ["La"] * len(LSCO), LSCO.frac_coords)
    assert found.composition.almost_equals(type(found.composition)(formula), rtol=1e-5)
    assert (found.frac_coords == expected.frac_coords).all()


def test_vacancies_stay():
    half_empty = Structure(Lattice.cubic(4), [{"Na": 0.4, "K": 0.1}], [[0, 0, 0]])
    (site,) = substituted(half_empty, "Na", "K", 0.8)
    assert site.species.as_dict() == pytest.approx({"Na": 0.1, "K": 0.4})


def test_a_dopant_on_sites_without_the_host_is_left_alone():
    ordered = Structure(Lattice.cubic(4), ["La", "Sr"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert dopant_fraction(ordered, "La", "Sr") == 0
    assert substituted(ordered, "La", "Sr", 0.5).composition.as_dict() == {"La": 0.5, "Sr": 1.5}


def test_mixed_pairs_name_the_larger_share_first_and_once():
    assert mixed_pairs(LSCO) == [("La", "Sr")]


@pytest.mark.parametrize(
    ("host", "dopant", "fraction", "message"),
    [
        ("Fe", "Co", 0.1, "The crystal has no 'Fe' to replace; it has Cu, La, O, Sr."),
        ("La", "Cm", 0.1, "'Cm' cannot replace La; name another element, H to Pu."),
        ("La", "La", 0.1, "'La' cannot replace La"),
        ("La", "Sr", 1.1, "The fraction of Sr must be 0 to 1, got 1.1."),
        ("La", "Sr", float("nan"), "must be 0 to 1, got nan"),
    ],
)
def test_what_is_no_substitution_gets_one_sentence(host, dopant, fraction, message):
    with pytest.raises(CrystalError, match=message.replace("(", r"\(")):
        substituted(LSCO, host, dopant, fraction)


def test_occupancies_that_are_rounded_in_the_file_do_not_sum_to_more_than_one():
    thirds = Structure(Lattice.cubic(4), [{"Na": 2 / 3, "K": 1 / 3}], [[0, 0, 0]])
    (site,) = substituted(thirds, "Na", "Li", 1.0)
    assert site.species.as_dict() == pytest.approx({"Li": 2 / 3, "K": 1 / 3}, abs=1e-6)
