"""The element table compared with pymatgen and with known values."""

import re

import pytest
from pymatgen.core import Element as Reference

from supervision.data.elements import (
    ATOMIC_MASS,
    ATOMIC_RADIUS,
    D_ELECTRONS,
    ELEMENTS,
    VALENCE_ELECTRONS,
    channels,
    element,
)

ISOTOPES = {"D", "T"}
SYMBOLS = [Reference.from_Z(z).symbol for z in range(1, 95)]


def electrons(symbol: str) -> dict[str, int]:
    """Electrons outside the noble-gas core by s, p, d, f, from pymatgen's configurations."""
    shells = Reference(symbol).electronic_structure.rpartition("].")[2]
    count = dict.fromkeys("spdf", 0)
    for letter, number in re.findall(r"\d([spdf])(\d+)", shells):
        count[letter] += int(number)
    return count


def test_table_covers_h_to_pu_and_the_isotopes_of_hydrogen():
    assert set(ELEMENTS) - ISOTOPES == set(SYMBOLS)
    assert [ELEMENTS[s].number for s in SYMBOLS] == list(range(1, 95))


@pytest.mark.parametrize(
    ("symbol", "d", "valence"),
    [
        ("H", 0, 1), ("He", 0, 2), ("O", 0, 6), ("K", 0, 1), ("Ba", 0, 2), ("Sc", 1, 3),
        ("Cr", 5, 6), ("Fe", 6, 8), ("Cu", 10, 11), ("Zn", 10, 12), ("Ga", 0, 3), ("Nb", 4, 5),
        ("Ru", 7, 8), ("Pd", 10, 10), ("Sn", 0, 4), ("Xe", 0, 8), ("La", 1, 3), ("Ce", 1, 4),
        ("Nd", 0, 6), ("Eu", 0, 9), ("Gd", 1, 10), ("Dy", 0, 12), ("Tm", 0, 12), ("Yb", 0, 2),
        ("Lu", 1, 3), ("Hf", 2, 4), ("Pt", 9, 10), ("Bi", 0, 5), ("Th", 2, 4), ("U", 1, 6),
        ("Pu", 0, 8),
    ],
)  # fmt: skip
def test_electron_counts_of_known_elements(symbol, d, valence):
    assert (D_ELECTRONS[symbol], VALENCE_ELECTRONS[symbol]) == (d, valence)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_electron_counts_follow_from_the_free_atom_configuration(symbol):
    count = electrons(symbol)
    in_d_or_f_block = 3 <= Reference(symbol).group <= 12
    open_d = 0 if count["p"] else count["d"]
    open_f = count["f"] % 14
    assert D_ELECTRONS[symbol] == (count["d"] if in_d_or_f_block else 0)
    assert VALENCE_ELECTRONS[symbol] == min(12, count["s"] + count["p"] + open_d + open_f)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_mass_and_radius_agree_with_pymatgen(symbol):
    reference = Reference(symbol)
    assert ATOMIC_MASS[symbol] == pytest.approx(float(reference.atomic_mass), rel=1e-4)
    if reference.atomic_radius is not None:
        assert ATOMIC_RADIUS[symbol] == pytest.approx(float(reference.atomic_radius))
    assert 0.2 < ATOMIC_RADIUS[symbol] <= 2.6


def test_deuterium_differs_from_hydrogen_in_mass_only():
    light, heavy = element("H"), element("D")
    assert heavy == light._replace(mass=2.014102)
    assert channels("D")[:2] == channels("H")[:2]
    assert channels("D")[2] < channels("H")[2]


def test_channels_of_niobium_and_lanthanum():
    assert channels("Nb") == pytest.approx((102.0, 106.25, 255 * (1 - 92.90638 / 238)))
    assert channels("La") == pytest.approx((25.5, 63.75, 255 * (1 - 138.9055 / 238)))


def test_channels_are_between_0_and_255():
    for symbol in ELEMENTS:
        assert all(0.0 <= value <= 255.0 for value in channels(symbol))
    assert channels("U")[2] == channels("Pu")[2] == 0.0


@pytest.mark.parametrize("symbol", ["Am", "X", "", "nb", "Nb5+"])
def test_unknown_element_is_refused_and_named(symbol):
    with pytest.raises(ValueError, match=f"'{re.escape(symbol)}' is not an element from H to Pu"):
        channels(symbol)
