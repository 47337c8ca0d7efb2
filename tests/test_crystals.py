"""Crystals: CIF text, compositions and materials."""

import math

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from supervision.data.cif import MAX_CIF_BYTES, parse_cif
from supervision.data.crystals import Crystal, group_materials, material_key, sample_materials
from supervision.data.errors import CrystalError

HEAD = """data_test
_symmetry_space_group_name_H-M   'P 1'
_cell_length_a   {a}
_cell_length_b   4.0
_cell_length_c   5.0
_cell_angle_alpha   90
_cell_angle_beta   90
_cell_angle_gamma   90
loop_
 _symmetry_equiv_pos_site_id
 _symmetry_equiv_pos_as_xyz
  1  'x, y, z'
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
"""


def cif(*sites, a="3.0"):
    return HEAD.format(a=a) + "".join(f"  {site}\n" for site in sites)


NB = cif("Nb Nb0 0 0 0 1", "Nb Nb1 0.5 0.5 0.5 1")


# --- compositions


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nb3Sn", "Nb6Sn2"),
        ("Nb3Sn", "Sn1Nb3"),
        ("Nb3Sn", "Nb0.75Sn0.25"),
        ("La1.85Sr0.15CuO4", "CuLa1.8500000001O4Sr0.15"),
        ("La1.85Sr0.15CuO4", "La3.7Sr0.3Cu2O8"),
        ("Ba(FeAs)2", "BaFe2As2"),
        (" Nb3 Sn\n", "Nb3Sn"),
        ("Nb3SnC0", "Nb3Sn"),
        ("PdD", "PdH"),
    ],
)
def test_equal_compositions_are_one_material(one, other):
    assert material_key(one) == material_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nb3Sn", "Nb3Ge"),
        ("Nb3Sn", "Nb2Sn"),
        ("Co", "CO"),
        ("La1.85Sr0.15CuO4", "La1.86Sr0.14CuO4"),
        ("YBa2Cu3O7", "YBa2Cu3O6.99"),
    ],
)
def test_different_compositions_are_different_materials(one, other):
    assert material_key(one) != material_key(other)


def test_key_lists_fractions_in_element_order():
    assert material_key("Nb3Sn") == "Nb0.7500-Sn0.2500"


@pytest.mark.parametrize(
    "formula",
    [
        *["", " ", "hello", "nb3sn", "Nb3Sn)", "(Nb", "Nb-1", "Nb0", "Nb1e400", "42", "Nb₃Sn"],
        *["La2CuO4-x", "X", "Xx", "Q2", "Nb3Vac", "Nb\x00", "nan", None, 3.0, math.nan, b"Nb"],
    ],
    ids=repr,
)
def test_invalid_formula_is_refused(formula):
    with pytest.raises(CrystalError, match="is not a chemical formula"):
        material_key(formula)


def test_message_for_a_long_text_is_short():
    with pytest.raises(CrystalError) as caught:
        material_key("nonsense " * 10_000)
    assert len(str(caught.value)) < 120


# --- CIF text


def test_partial_occupancies_and_vacancies_are_kept():
    structure = parse_cif(cif("La La0 0 0 0 0.6", "Sr Sr0 0 0 0 0.3", "O O0 0.5 0.5 0.5 0.8"))
    assert structure.composition.almost_equals(Composition("La0.6Sr0.3O0.8"))
    assert len(structure) == 2


def test_cell_is_read_as_in_the_file():
    lattice, sites = Lattice.hexagonal(3.0, 4.7), [[0, 0, 0], [1 / 3, 2 / 3, 0.5]]
    structure = Structure(lattice, ["Mg", "B"], sites) * (2, 1, 1)
    found = parse_cif(structure.to(fmt="cif"))
    assert len(found) == 4
    np.testing.assert_allclose(found.lattice.parameters, structure.lattice.parameters)


def test_occupancy_slightly_above_one_is_scaled_down():
    structure = parse_cif(cif("La La0 0 0 0 0.67", "Sr Sr0 0 0 0 0.34"))
    assert structure[0].species.num_atoms == pytest.approx(1)
    assert structure[0].species["La"] == pytest.approx(0.67 / 1.01)


@pytest.mark.parametrize(
    "sites",
    [["Nb Nb0 0 0 0 1.5"], ["Nb Nb0 0 0 0 0.7", "V V0 0 0 0 0.7"], ["Nb A 0 0 0 1", "V B 0 0 0 1"]],
    ids=["one species", "two species", "two atoms in one place"],
)
def test_occupancy_above_one_is_refused_and_named(sites):
    with pytest.raises(CrystalError, match=r"occupancy of a site with .* is 1\.[45]|is 2"):
        parse_cif(cif(*sites))


def test_first_of_several_structures_is_read():
    other = cif("V V0 0 0 0 1").replace("data_test", "data_other")
    assert parse_cif(NB + other).composition == Composition("Nb2")
    assert parse_cif("data_global\n_journal_year 1998\n" + NB).composition == Composition("Nb2")


def test_deuterium_and_tritium_are_hydrogen():
    structure = parse_cif(cif("Pd Pd0 0 0 0 1", "D D0 0.5 0.5 0.5 0.7", "T T0 0.5 0 0.5 0.2"))
    assert structure.composition.get_el_amt_dict() == pytest.approx({"Pd": 1, "H": 0.9})


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: "# made by hand\n\n" + text,
        lambda text: text.replace("Nb0", "Nbé"),
        lambda text: text.rstrip("\n"),
    ],
    ids=["CRLF", "CR", "byte order mark", "comment first", "accent", "no last line end"],
)
def test_line_ends_and_comments_do_not_change_the_structure(change):
    assert parse_cif(change(NB)) == parse_cif(NB)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" \n\t", id="blank"),
        pytest.param(None, id="null"),
        pytest.param(math.nan, id="nan"),
        pytest.param(NB.encode(), id="bytes"),
        pytest.param(7, id="number"),
        pytest.param("Niobium becomes superconducting at 9.2 K.", id="prose"),
        pytest.param("See data_ in the appendix.", id="prose with data_"),
        pytest.param("data_", id="only data_"),
        pytest.param(NB + "\x00", id="NUL"),
        pytest.param(bytes(range(256)).decode("latin-1") * 9, id="binary"),
        pytest.param("\x89PNG data_\ufffd\ufffd", id="picture"),
        pytest.param(NB[: NB.index("_cell_angle")], id="broken off in the cell"),
        pytest.param(NB[: NB.index("  Nb")], id="broken off before the atoms"),
        pytest.param(NB[:-7], id="broken off in an atom"),
        pytest.param(cif(), id="no atoms"),
        pytest.param(cif("Nb Nb0 0 0 0 0"), id="occupancy zero"),
        pytest.param(cif("Nb Nb0 0 0 0 -1"), id="occupancy negative"),
        pytest.param(cif("Nb Nb0 0 0 0 nan"), id="occupancy nan"),
        pytest.param(cif("Nb Nb0 0 0 0 inf"), id="occupancy inf"),
        pytest.param(cif("Nb Nb0 ? 0 0 1"), id="place unknown"),
        pytest.param(cif("Nb Nb0 nan 0 0 1"), id="place nan"),
        pytest.param(cif("Nb Nb0 0 0 0 1", a="0"), id="cell without length"),
        pytest.param(cif("Nb Nb0 0 0 0 1", a="nan"), id="cell nan"),
        pytest.param(cif("Nb Nb0 0 0 0 1", a="inf"), id="cell inf"),
        pytest.param(cif("Nb Nb0 0 0 0 1", a="?"), id="cell unknown"),
        pytest.param(NB + "# padding\n" * (MAX_CIF_BYTES // 10), id="huge"),
    ],
)
def test_text_without_a_crystal_is_refused_in_one_sentence(text):
    with pytest.raises(CrystalError) as caught:
        parse_cif(text)
    message_text = str(caught.value)
    assert message_text.endswith(".")
    assert "\n" not in message_text
    assert "Traceback" not in message_text
    assert len(message_text) < 300


def test_message_names_the_missing_tag():
    with pytest.raises(CrystalError, match="it has no _atom_site_fract_x"):
        parse_cif("data_x\n_cell_length_a 3\n")


def test_invalid_cif_raises_when_the_structure_is_accessed():
    crystal = Crystal("a.cif", "Nb", "data_nothing")
    with pytest.raises(CrystalError):
        _ = crystal.structure


def test_content_hash_depends_on_the_cif_text_only():
    assert Crystal("a", "Nb", NB).content_hash == Crystal("b", "V", NB, 3.0).content_hash
    assert Crystal("a", "Nb", NB).content_hash != Crystal("a", "Nb", NB + " ").content_hash
    assert (
        len(Crystal("a", "Nb", "\ud800").content_hash) == 64
    )  # a lone surrogate, possible in JSON


# --- materials


def test_crystals_of_one_composition_are_one_material_with_weighted_tc():
    crystals = [
        Crystal("b", "Nb6Sn2", "", 19.0, "p2", weight=0.25),
        Crystal("a", "Nb3Sn", "", 17.0, "p1", weight=0.75),
        Crystal("c", "V3Si", "", 17.1),
    ]
    nb3sn, v3si = group_materials(crystals)
    assert [c.id for c in nb3sn.crystals] == ["a", "b"]
    assert nb3sn.formula == "Nb3Sn"
    assert nb3sn.tc == pytest.approx(0.75 * 17 + 0.25 * 19)
    assert nb3sn.parents == {"p1", "p2"}
    assert nb3sn.chemsys == "Nb-Sn"
    assert (v3si.tc, v3si.parents) == (17.1, frozenset())


def test_materials_do_not_depend_on_the_order_of_crystals():
    crystals = [Crystal(f"{i}", f"Nb{1 + i % 4}Sn", "", float(i)) for i in range(12)]
    assert group_materials(crystals) == group_materials(crystals[::-1])


def test_crystal_without_tc_is_refused():
    with pytest.raises(ValueError, match="Crystal x has no Tc"):
        group_materials([Crystal("x", "Nb", "")])


def test_sample_depends_on_the_seed_and_not_on_the_order():
    materials = group_materials(Crystal(f"{i}", f"Nb{i}V", "", 1.0) for i in range(1, 30))
    chosen = sample_materials(materials, 5, seed=1)
    assert len(chosen) == 5
    assert chosen == sample_materials(materials[::-1], 5, seed=1)
    assert chosen != sample_materials(materials, 5, seed=2)
    assert {m.id for m in chosen} < {m.id for m in sample_materials(materials, 9, seed=1)}


def test_limit_zero_keeps_all_materials_and_a_negative_limit_is_refused():
    materials = group_materials([Crystal("a", "Nb", "", 1.0), Crystal("b", "V", "", 1.0)])
    assert sample_materials(materials, 0, seed=1) == materials
    assert sample_materials(materials, 99, seed=1) == materials
    with pytest.raises(ValueError, match="-1"):
        sample_materials(materials, -1, seed=1)


@pytest.mark.parametrize("scale", [2, 3, 7])
def test_key_does_not_depend_on_the_scale_of_the_formula(scale):
    """Every second doping level gives a fraction exactly between two 4-decimal numbers."""
    for x in range(1, 200):
        amounts = {"La": 700 - x, "Sr": x, "Cu": 100}
        one = "".join(f"{el}{n / 100:g}" for el, n in amounts.items())
        other = "".join(f"{el}{scale * n / 100:g}" for el, n in amounts.items())
        assert material_key(one) == material_key(other)


TWO_SITES = """data_x
_cell_length_a {length}
_cell_length_b 3.3(1)
_cell_length_c 3.3
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Nb1 Nb 0 0 0 1
X2 {symbol} .5 .5 .5 {occupancy}
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"occupancy": "nan"}, "site X2 has the occupancy 'nan'"),
        ({"occupancy": "-0.5"}, "site X2 has the occupancy '-0.5'"),
        ({"occupancy": "half"}, "site X2 has the occupancy 'half'"),
        ({"symbol": "Vac"}, "site X2 has the symbol 'Vac'"),
        ({"symbol": "?"}, "site X2 has the symbol '\\?'"),
        ({"length": "-3.3"}, "the cell length a is '-3.3'"),
    ],
    ids=str,
)
def test_invalid_site_is_refused_and_named(change, message):
    good = {"length": "3.3", "symbol": "Sn", "occupancy": "0.5(2)"}
    assert parse_cif(TWO_SITES.format(**good)).composition.formula == "Nb1 Sn0.5"
    with pytest.raises(CrystalError, match=message):
        parse_cif(TWO_SITES.format(**(good | change)))


@pytest.mark.parametrize("symbol", ["V", "V3+", "V1"])
def test_vanadium_is_not_read_as_a_vacancy(symbol):
    text = TWO_SITES.format(length="3.3", symbol=symbol, occupancy="?")
    assert parse_cif(text).composition.chemical_system == "Nb-V"


def test_cell_parameters_fixed_by_symmetry_may_be_missing():
    text = (
        "data_x\n_symmetry_cell_setting cubic\n_cell_length_a 3.3\n_cell_angle_alpha 90\n"
        "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "Nb1 0 0 0\n"
    )
    assert parse_cif(text).lattice.abc == (3.3, 3.3, 3.3)
