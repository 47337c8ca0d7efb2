"""The classes of superconductors: known members and others, by composition and by structure."""

import numpy as np
import pytest
from example_structures import la2cuo4, mgb2, nb3sn
from pymatgen.core import Lattice, Structure

from supervision.data.crystals import Crystal, Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.datasets.classics import load_classics, read_table
from supervision.data.errors import CrystalError
from supervision.data.material_classes import CLASSES, material_class, members, related


def by_formula(formula):
    return Material(formula, formula, 1.0, (Crystal(formula, formula, "", 1.0),))


def by_structure(structure, formula=""):
    formula = formula or structure.composition.reduced_formula
    crystal = Crystal(formula, formula, structure.to(fmt="cif"), 1.0)
    return Material(formula, formula, 1.0, (crystal,))


# --- the embedded data set, whose families were assigned by hand

FAMILIES = {
    "cuprate": "cuprate",
    "iron": "iron",
    "a15": "A15",
    "chevrel": "Chevrel",
    "borocarbide": "borocarbide",
    "bismuthate": "bismuthate",
    "carbide_nitride": "B1",
    "heavy_fermion": "heavy fermion",
    "laves": "Laves",
}


@pytest.fixture(scope="module")
def classics():
    return [Material(c.id, c.formula, c.tc, (c,)) for c in load_classics()]


@pytest.mark.parametrize("name", CLASSES)
def test_members_of_classics_are_those_of_the_table(classics, name):
    expected = {
        entry.id
        for entry in read_table()
        if (
            entry.prototype == "C32 (AlB2)"
            if name == "diboride"
            else entry.family == FAMILIES[name]
        )
    }
    found = members(classics, name)
    assert {m.id for m, is_member in zip(classics, found, strict=True) if is_member} == expected
    assert related(classics, name)[found].all()


# --- by composition alone

MEMBERS = {
    "cuprate": (
        "La1.85Sr0.15CuO4 YBa2Cu3O6.93 Bi2Sr2CaCu2O8.2 HgBa2CuO4.1 Sr0.9La0.1CuO2 "
        "Ca1.8Na0.2CuO2Cl2 RuSr2GdCu2O8 La1.85Sr0.15Cu0.9Zn0.1O4"
    ),
    "iron": (
        "FeSe0.85 Fe1.03Te0.7Se0.3 LaFeAsO0.89F0.11 Ba0.6K0.4Fe2As2 BaFe1.8Co0.2As2 LiFeAs "
        "K0.8Fe1.6Se2 Ca0.82La0.18FeAs2 BaFe2S3 Sr4V2O6Fe2As2 Ca10Pt4Fe10As18"
    ),
    "diboride": "MgB2 Mg0.9Al0.1B2 MgB1.8C0.2 NbB2 NbB2.5 ZrB2",
    "a15": "Nb3Sn V3Si V0.745Ga0.255 Nb2.85Hf0.15Al Nb3Al0.75Ge0.25 Mo3Os Nb0.8Ga0.2",
    "chevrel": "PbMo6S8 Cu1.8Mo6S8 Mo6Se8 Mo2Re4Se8 Mo6S6Br2 La0.88Mo6Se8",
    "borocarbide": "LuNi2B2C YNi1.9Co0.1B2C YPd2B2C LuNiBC La3Ni2B2N3",
    "bismuthate": "BaPb0.75Bi0.25O3 Ba0.6K0.4BiO3 BaPb0.75Sb0.25O3 K0.95Bi1.05O3",
    "carbide_nitride": "NbN NbC NbC0.3N0.7 VN0.82 MoC0.75 Nb0.9Ti0.1C",
    "heavy_fermion": (
        "CeCu2Si2 URu2Si2 CeCoIn5 Ce0.9La0.1CoIn5 PuCoGa5 Ce2RhIn8 CePt2In7 CeIn3 CePt3Si CeRhSi3 "
        "UPt3 U0.97Th0.03Be13 UPd2Al3 URhGe UGe2 UTe2 PrOs4Sb12 YbAlB4 NpPd5Al2"
    ),
    "laves": "HfV2 CeRu2 ZrV2 Hf0.84Nb0.16V2 HfV2H0.4 HfV2D0.5 ZrRe2 CaIr2 CeCo1.85",
}
OTHERS = {
    "cuprate": "CuO Cu2O CuCrO2 Cu0.2Ru0.8Sr2YO6 CuRh2S4 BaFe2As2",
    "iron": "FeS2 FeSb2 LaFe4P12 Fe3P SnFe0.05Mo6S8 Fe0.05TaS2 FeO Fe",
    "diboride": "MgB4 YB6 LuRuB2 MgNi3C BN BaFe2As2",
    "a15": "NbSe2 Nb2C Nb NbGe2 NbN NbTi",
    "chevrel": "MoS2 Tl2Mo6Se6 K0.4MoS2 FeSe Mo2S3 PbS",
    "borocarbide": "YB2C2 Mo2BC YRh4B4 MgB1.8C0.2 LuRuB2",
    "bismuthate": "Bi2Sr2CuO6 Bi2O3 LaBiS2O0.5F0.5 SrTiO3 KBi2 Ba2PbO4",
    "carbide_nitride": "Y2C3 LaC2 ZrNCl MgCNi3 YNi2B2C C60K3 Mo3Al2C",
    "heavy_fermion": "CeRu2 CeFeAsO LaRhIn5 LaCu2Si2 Ce U6Fe Nd1.85Ce0.15CuO4 ThCr2Si2 YbSn3",
    "laves": "Zr2Rh MgB2 MoSi2 NbSe2 Nb3Sn AlCu2",
}


@pytest.mark.parametrize("name", CLASSES)
def test_known_members_are_recognised_by_their_composition(name):
    materials = [by_formula(formula) for formula in MEMBERS[name].split()]
    found = members(materials, name)
    assert [m.formula for m in np.array(materials)[~found]] == []


@pytest.mark.parametrize("name", CLASSES)
def test_other_materials_are_not_members_by_their_composition(name):
    materials = [by_formula(formula) for formula in OTHERS[name].split()]
    found = members(materials, name)
    assert [m.formula for m in np.array(materials)[found]] == []


def test_material_can_be_in_no_class_and_in_one():
    assert material_class(by_formula("PbTe")) == frozenset()
    assert material_class(by_structure(mgb2())) == {"diboride"}


@pytest.mark.parametrize(
    ("name", "formulas"),
    [
        ("cuprate", "CrCuO2 YBa2Cu3O1 Bi1.8Pb0.2Sr2CuO0.1 Pr185Ce0.15CuO4 Cu0.05Ru0.95Sr2YO6"),
        ("iron", "Fe0.02Te0.85Se0.15 EuFe1.2As2P0.8 Fe0.1Co1.9BaAs2"),
        ("diboride", "MgB0.96C0.04 B2Mg0.5 Mg1.9Cu0.1B12 MgB1.6Be0.4 MgB1.84F0.16"),
        ("a15", "NbSn3 Nb0.4Ga0.6 Nb0.75Al0.02Ge0.05 Nb0.5Sn0.5 Nb0.75Sn0.125Zr0.125"),
        ("chevrel", "Mo5SnS6 PbMo5.1S4 PbMo6S7"),
        ("borocarbide", "YPd4BC0.2 YPd5B3C0.3 YPd3B3C0.3"),
        ("bismuthate", "Ba0.7K0.75BiO BaKBiO4 Ba1.7K0.3Pb0.95Bi0.05O4 Rb0.7Bi1.3O3"),
        ("carbide_nitride", "Mo0.58C0.42 NbCN N2V5"),
        ("heavy_fermion", "U6Fe CeRu2 U2PtC2 CeNi2B2C PrPt4Ge12"),
    ],
)
def test_samples_with_doubtful_compositions_are_related_to_the_class(name, formulas):
    materials = [by_formula(formula) for formula in formulas.split()]
    assert [m.formula for m in np.array(materials)[~related(materials, name)]] == []


@pytest.mark.parametrize("name", CLASSES)
def test_members_of_other_classes_are_mostly_not_related(name):
    others = [f for other in CLASSES if other != name for f in MEMBERS[other].split()]
    assert related([by_formula(f) for f in others], name).mean() < 0.1


# --- where the structure decides


def hexagonal(space_group, a, c, species, coords):
    return Structure.from_spacegroup(space_group, Lattice.hexagonal(a, c), species, coords)


def cubic(space_group, a, species, coords):
    return Structure.from_spacegroup(space_group, Lattice.cubic(a), species, coords)


THIRD, TWO_THIRDS = 1 / 3, 2 / 3
STRUCTURES = {
    "CaCuO2, infinite layers": (
        "cuprate",
        True,
        Structure.from_spacegroup(
            "P4/mmm",
            Lattice.tetragonal(3.86, 3.2),
            ["Ca", "Cu", "O"],
            [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]],
        ),
    ),
    "Sr2CuO3, chains": (
        "cuprate",
        False,
        Structure.from_spacegroup(
            "Immm",
            Lattice.orthorhombic(3.91, 12.70, 3.49),
            ["Sr", "Cu", "O", "O"],
            [[0, 0.353, 0], [0, 0, 0], [0.5, 0, 0], [0, 0.154, 0]],
        ),
    ),
    "LaCuO3, a perovskite": (
        "cuprate",
        False,
        cubic("Pm-3m", 3.82, ["La", "Cu", "O"], [[0.5] * 3, [0] * 3, [0.5, 0, 0]]),
    ),
    "FeSe, layers": (
        "iron",
        True,
        Structure.from_spacegroup(
            "P4/nmm:2",
            Lattice.tetragonal(3.77, 5.52),
            ["Fe", "Se"],
            [[0.75, 0.25, 0], [0.25, 0.25, 0.267]],
        ),
    ),
    "FeSe, NiAs type": (
        "iron",
        False,
        hexagonal("P6_3/mmc", 3.62, 5.92, ["Fe", "Se"], [[0, 0, 0], [THIRD, TWO_THIRDS, 0.25]]),
    ),
    "NbB2": (
        "diboride",
        True,
        hexagonal("P6/mmm", 3.11, 3.27, ["Nb", "B"], [[0, 0, 0], [THIRD, TWO_THIRDS, 0.5]]),
    ),
    "ReB2, puckered layers": (
        "diboride",
        False,
        hexagonal(
            "P6_3/mmc",
            2.90,
            7.48,
            ["Re", "B"],
            [[THIRD, TWO_THIRDS, 0.25], [THIRD, TWO_THIRDS, 0.548]],
        ),
    ),
    "MgAlB4, ordered along c": (
        "diboride",
        True,
        hexagonal(
            "P6/mmm",
            3.04,
            6.74,
            ["Mg", "Al", "B"],
            [[0, 0, 0.5], [0, 0, 0], [THIRD, TWO_THIRDS, 0.234]],
        ),
    ),
    "V3Si, A15": (
        "a15",
        True,
        cubic("Pm-3n", 4.72, ["Si", "V"], [[0, 0, 0], [0.25, 0, 0.5]]),
    ),
    "Zr3Al, Cu3Au type": (
        "a15",
        False,
        cubic("Pm-3m", 4.37, ["Al", "Zr"], [[0] * 3, [0.5, 0.5, 0]]),
    ),
    "NbN, NaCl type": (
        "carbide_nitride",
        True,
        cubic("Fm-3m", 4.39, ["Nb", "N"], [[0] * 3, [0.5] * 3]),
    ),
    "NbN, WC type": (
        "carbide_nitride",
        False,
        hexagonal("P-6m2", 2.95, 2.86, ["Nb", "N"], [[0, 0, 0], [THIRD, TWO_THIRDS, 0.5]]),
    ),
    "Zr(V,Mo)2, disordered C15": (
        "laves",
        True,
        cubic("Fd-3m:2", 7.44, ["Zr", {"V": 0.7, "Mo": 0.2}], [[0.125] * 3, [0.5] * 3]),
    ),
    "SrGaSn, YPtAs type": (
        "laves",
        False,
        hexagonal(
            "P6_3/mmc",
            4.49,
            16.9,
            ["Sr", "Sr", "Ga", "Sn"],
            [[0, 0, 0], [0, 0, 0.25], [THIRD, TWO_THIRDS, 0.12], [THIRD, TWO_THIRDS, 0.63]],
        ),
    ),
}


@pytest.mark.parametrize(
    ("name", "expected", "structure"), STRUCTURES.values(), ids=STRUCTURES.keys()
)
def test_structure_decides_where_the_composition_fits(name, expected, structure):
    material = by_structure(structure)
    assert members([by_formula(material.formula)], name)[0]
    assert members([material], name)[0] == expected
    assert related([material], name)[0]


def test_one_fitting_structure_of_several_is_enough():
    fits, other = (by_structure(STRUCTURES[id][2]) for id in ("FeSe, layers", "FeSe, NiAs type"))
    both = Material("FeSe", "FeSe", 8.0, other.crystals + fits.crystals)
    assert members([fits, other, both], "iron").tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("cuprate", la2cuo4(0.075, 0.95)),
        ("diboride", mgb2()),
        ("a15", nb3sn()),
        ("laves", STRUCTURES["Zr(V,Mo)2, disordered C15"][2]),
        ("iron", STRUCTURES["FeSe, layers"][2]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_choice_of_the_cell_does_not_matter(name, structure):
    moved = structure.copy()
    moved.make_supercell([[2, 1, 0], [0, 1, 0], [0, 0, 1]])
    moved.translate_sites(range(len(moved)), [0.13, 0.27, 0.41])
    moved = Structure(moved.lattice, moved.species_and_occu[::-1], moved.frac_coords[::-1])
    assert members([by_structure(structure), by_structure(moved)], name).all()


def test_doping_and_vacancies_do_not_matter():
    doped = hexagonal(
        "P6/mmm",
        3.05,
        3.4,
        [{"Mg": 0.6, "Al": 0.2}, {"B": 0.9, "C": 0.1}],
        [[0, 0, 0], [THIRD, TWO_THIRDS, 0.5]],
    )
    assert members([by_structure(doped, "Mg0.6Al0.2B1.8C0.2")], "diboride")[0]


def test_class_without_its_element_needs_no_structure_to_be_refused():
    unreadable = Material("Nb", "Nb", 9.0, (Crystal("bad.cif", "Nb", "data_x", 9.0),))
    assert material_class(unreadable) == frozenset()


def test_unreadable_structure_is_an_error_that_names_it():
    bad = Material("MgB2", "MgB2", 39.0, (Crystal("bad.cif", "MgB2", "data_x", 39.0),))
    with pytest.raises(CrystalError, match=r"bad\.cif"):
        members([bad], "diboride")


@pytest.mark.parametrize("function", [members, related])
def test_unknown_class_is_refused(function):
    with pytest.raises(ValueError, match=r"class 'nickelate' is not one of cuprate, iron"):
        function([by_formula("NdNiO2")], "nickelate")


@pytest.mark.shared
@pytest.mark.slow
def test_numbers_of_members_and_relatives_in_3dsc(shared_data):
    dataset = load_dataset("3dsc", str(shared_data / "3dsc" / "3DSC_MP.tar.xz"))
    materials = group_materials(dataset.crystals)
    relatives = {name: int(related(materials, name).sum()) for name in CLASSES}
    assert relatives == {
        "cuprate": 867,
        "iron": 516,
        "diboride": 158,
        "a15": 569,
        "chevrel": 61,
        "borocarbide": 190,
        "bismuthate": 70,
        "carbide_nitride": 187,
        "heavy_fermion": 424,
        "laves": 287,
    }
    expected = {"cuprate": 818, "iron": 497, "diboride": 138, "chevrel": 39, "bismuthate": 66}
    assert {name: int(members(materials, name).sum()) for name in expected} == expected
