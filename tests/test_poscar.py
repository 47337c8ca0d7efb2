"""POSCAR texts, told from CIF texts by what they hold, against pymatgen's reader."""

import random
import warnings

import numpy as np
import pytest
from example_structures import la2cuo4, mgb2, nb3sn, niobium
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from supervision.data.cif import MAX_CIF_BYTES, parse_cif
from supervision.data.cif_writer import structure_to_cif
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.data.poscar import is_poscar, poscar_to_cif
from supervision.data.structure_files import structure_text_to_cif
from supervision.data.structure_inputs import structure_inputs

POSCAR = """niobium
{scale}
3.3 0 0
0 3.3 0
0 0 3.3
Nb
2
{mode}
0 0 0
{second} T T F
"""
GOOD = POSCAR.format(scale="1.0", mode="Direct", second="0.5 0.5 0.5")
CELL = "c\n1.0\n3 0 0\n0 3 0\n0 0 3\n"
MUTANTS = 2000


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "cartesian"])
@pytest.mark.parametrize("make", [nb3sn, mgb2, la2cuo4, niobium])
def test_a_poscar_is_read_as_pymatgen_reads_it(make, direct):
    text = Poscar(make()).get_str(direct=direct, significant_figures=16)
    assert is_poscar(text)
    assert structure_text_to_cif(text) == structure_to_cif(Poscar.from_str(text).structure)


def atoms(text):
    """Cell lengths and fractional coordinates of both atoms."""
    found = parse_cif(structure_text_to_cif(text))
    return found.lattice.abc, found.frac_coords


@pytest.mark.parametrize(
    "text",
    [
        POSCAR.format(scale="1", mode="Selective dynamics\nDirect", second=".5 .5 .5"),
        POSCAR.format(scale="1", mode="K", second="1.65 1.65 1.65"),
        POSCAR.format(scale="-35.937", mode="cartesian", second="1.65 1.65 1.65"),
        POSCAR.format(scale="1 1 1 of three axes", mode="d", second="5e-1 .5 .5"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("niobium", ""),
        GOOD.replace("Nb", "Nb_pv/f474ac0d"),
        GOOD.replace("Nb\n2\n", "Nb Nb\nNb\n1 1\n0\n"),
        GOOD + "\n0 0 0\n0 0 0\n",
        GOOD + "Lattice velocities and vectors\n1\n",
    ],
    ids=["selective", "Cartesian", "volume", "three scales", "line ends", "no comment", "hash",
         "lines of symbols", "velocities", "lattice velocities"],
)  # fmt: skip
def test_all_ways_of_writing_a_poscar_give_the_same_crystal(text):
    lengths, positions = atoms(text)
    expected_lengths, expected_positions = atoms(GOOD)
    np.testing.assert_allclose(lengths, expected_lengths)
    np.testing.assert_allclose(positions, expected_positions, atol=1e-12)


def test_each_axis_may_have_its_own_scale():
    lengths, positions = atoms(POSCAR.format(scale="1 2 3", mode="C", second="1.65 1.65 1.65"))
    np.testing.assert_allclose(lengths, [3.3, 6.6, 9.9])
    np.testing.assert_allclose(positions[1], 0.5)


BAD = {
    "no symbols": (CELL + "1\nDirect\n0 0 0\n", "does not name its elements"),
    "NaN in the cell": (GOOD.replace("3.3", "nan", 1), "line 3 must begin with three numbers"),
    "infinite scale": (GOOD.replace("1.0", "1e999"), "line 2 must be the scale"),
    "1e308": (GOOD.replace("3.3", "1e308"), "line 3 must begin with three numbers"),
    "NaN position": (GOOD.replace("0.5", "nan"), "line 10 must begin with three numbers"),
    "1e308 position": (GOOD.replace("0.5", "1e308"), "line 10 must begin with three numbers"),
    "scale 0": (GOOD.replace("1.0", "0"), "line 2 must be the scale"),
    "two scales": (GOOD.replace("1.0", "1 1"), "line 2 must be the scale"),
    "negative count": (GOOD.replace("\n2\n", "\n-2\n"), "line 7 must have a count of atoms"),
    "half an atom": (GOOD.replace("\n2\n", "\n0.5\n"), "line 7 must have a count of atoms"),
    "a count of 5,000 digits": (GOOD.replace("\n2\n", f"\n{'9' * 5000}\n"), "must have a count"),
    "a billion atoms": (GOOD.replace("\n2\n", "\n999999999\n"), "The cell holds 999,999,999 atoms"),
    "no atoms": (GOOD.replace("\n2\n", "\n0\n"), "has no atoms"),
    "two counts": (GOOD.replace("\n2\n", "\n2 2\n"), "line 7 must have a count of atoms"),
    "fewer atoms than counted": (GOOD.replace("\n2\n", "\n3\n"), "line 11 must begin with three"),
    "more atoms than counted": (GOOD.replace("\n2\n", "\n1\n"), "only 1 are counted above"),
    "neither Direct nor Cartesian": (GOOD.replace("Direct\n", ""), "must say Direct or Cartesian"),
    "no element": (GOOD.replace("Nb", "Xq"), "The species 'Xq' is not an element."),
    "a flat cell": (GOOD.replace("0 3.3 0", "3.3 0 0"), "The cell has 0 cubic angstrom"),
    "a flat cell of a volume": (
        GOOD.replace("0 3.3 0", "3.3 0 0").replace("1.0", "-36"),
        "The cell has 0 cubic angstrom",
    ),
    "a cut text": (CELL + "Nb\n", "is incomplete"),
    "half a million symbols": (
        CELL + "Nb " * 500_000 + "\n1\nDirect\n0 0 0\n",
        "must have a count",
    ),
    "a million lines": (CELL + "Nb\n" * 600_000, "must have a count"),
    "one million atoms in a line": (CELL + "Nb\n" + "1 " * 900_000 + "\nD\n", "must have a count"),
    "a long text": (GOOD + " " * MAX_CIF_BYTES, "longer than 2 MB"),
    "neither": ("the crystal of my dreams", "is not a CIF file: it has no data_ block; nor is it"),
    "empty": (" \n", "is empty"),
    "a list": ([GOOD], "must be text"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_is_no_crystal_is_one_sentence(name):
    text, said = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CrystalError) as refused:
            structure_text_to_cif(text)
    assert said in str(refused.value)
    assert str(refused.value).endswith(".") and len(str(refused.value)) < 200


def refusal(text):
    """The sentence with which a text is refused; empty where it is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            parse_cif(structure_text_to_cif(text))
        except CrystalError as error:
            return str(error)
    return ""


def test_mutated_poscars_are_read_or_refused_with_one_sentence():
    rng = random.Random(7)
    words = ["nan", "inf", "1e308", "-1e308", "1e-308", "0", "-5", "9" * 400, "Xx", "s", "c", "",
             "Cartesian", "\x00", "−1", "1.0d0", "١", "data_x", "\ud800"]  # fmt: skip
    said = []
    for _ in range(MUTANTS):
        lines = rng.choice([GOOD, Poscar(mgb2()).get_str()]).split("\n")
        row = rng.randrange(len(lines))
        cut = lines[row].split() or [""]
        cut[rng.randrange(len(cut))] = rng.choice(words)
        lines[row] = " ".join(cut) if rng.random() < 0.7 else rng.choice(words)
        said.append(refusal("\n".join(lines)))
    assert all(sentence.endswith(".") for sentence in said if sentence)
    assert 0.05 * MUTANTS < said.count("") < 0.5 * MUTANTS


def test_cif_texts_stay_as_they_are():
    for crystal in load_dataset("classics").crystals:
        assert not is_poscar(crystal.cif)
        assert structure_text_to_cif(crystal.cif) is crystal.cif


def test_a_poscar_may_be_given_as_text_in_a_table_and_in_a_file_of_any_name(tmp_path):
    (tmp_path / "a.txt").write_text(GOOD)
    (tmp_path / "table.csv").write_text(f'cif\n"{GOOD}"\n')
    for given in (GOOD, tmp_path / "a.txt", tmp_path / "table.csv"):
        (found,) = structure_inputs(given)
        assert found.error == "" and found.cif == poscar_to_cif(GOOD)
        assert isinstance(parse_cif(found.cif), Structure)
