"""Any CIF text is read correctly or refused with one sentence, within milliseconds."""

import re
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import gemmi
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from mutations import mutants, texts
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from benchmarks.hostile_cif import CRYSTAL, FM3M, HOSTILE, MISREAD, atoms, crystal, operations
from supervision.data.cell_checks import MAX_ATOMS
from supervision.data.cif import MAX_CIF_BYTES, parse_cif
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError

MAX_SECONDS = 0.1  # of processor time for any text
CLASSICS = load_dataset("classics").crystals


def parsed(text):
    """The structure or the error message, and the processor time in seconds."""
    began = time.process_time()
    try:
        found = parse_cif(text)
    except CrystalError as error:
        found = str(error)
    return found, time.process_time() - began


def check_message(message):
    assert message.endswith(".")
    assert len(message) < 300
    assert message.isprintable()
    assert "Error" not in message
    assert "Traceback" not in message


# --- texts that the former reader did not finish, crashed on or misread


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_text_is_refused_in_one_sentence(name):
    text, reason = HOSTILE[name]
    found, _ = parsed(text)
    assert isinstance(found, str), f"read as {found.formula}"
    assert re.search(reason, found)
    check_message(found)


@pytest.mark.parametrize("name", list(MISREAD))
def test_formerly_misread_text_is_read_correctly_or_refused(name):
    text, expected = MISREAD[name]
    found, _ = parsed(text)
    if isinstance(expected, Composition):
        assert found.composition.almost_equals(expected), found
    else:
        assert isinstance(found, str), f"read as {found.formula}"
        assert re.search(expected, found)
        check_message(found)


def test_no_text_takes_more_than_a_hundred_milliseconds():
    """Processor time, best of three; the constants of the reader guarantee it."""
    largest = {
        "atoms": crystal(atoms(MAX_ATOMS), a=30),
        "values": CRYSTAL + "loop_\n_q\n" + ("0 " * 1000 + "\n") * 980,
        "tags": CRYSTAL + "".join(f"_t{i} 1\n" for i in range(4900)),
        "loops": CRYSTAL + "".join(f"loop_\n_t{i}\n1\n" for i in range(4900)),
        "text field": CRYSTAL + "_x\n;" + "a\n" * 980_000 + ";\n",
        "positions": crystal(atoms(52), a=60, symmetry=FM3M),
        "rows": crystal(
            atoms(1000).replace(" 1\n", " .5\n") + atoms(1000).replace(" Nb ", " V "),
            a=30,
            symmetry=operations(*(f"x,y,z+{i}/5" for i in range(5))),
        ),
        "one thousand rows in one place": crystal(
            "".join(f"N N 0 0 {i / 1000} .001\n" for i in range(1000)), a=30
        ),
    }
    assert all(len(text) <= MAX_CIF_BYTES for text in largest.values())
    texts = largest | {name: text for name, (text, _) in HOSTILE.items()}
    slow = {name: min(parsed(text)[1] for _ in range(3)) for name, text in texts.items()}
    assert {name: taken for name, taken in slow.items() if taken > MAX_SECONDS} == {}


# --- equal to pymatgen


def read_with_pymatgen(text):
    """The structure as pymatgen's own parser reads it, the reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = CifParser.from_str(text, occupancy_tolerance=1.05)
        return parser.parse_structures(primitive=False, check_occu=True)[0]


def check_equal(found, expected):
    np.testing.assert_allclose(found.lattice.matrix, expected.lattice.matrix, atol=1e-6)
    assert len(found) == len(expected)
    apart = found.frac_coords - expected.frac_coords
    assert np.abs(apart - apart.round()).max() < 1e-6
    for one, other in zip(found, expected, strict=True):
        amounts = [
            {getattr(atom, "element", atom): share for atom, share in site.species.items()}
            for site in (one, other)
        ]
        assert amounts[0] == pytest.approx(amounts[1], abs=1e-6)


@pytest.mark.parametrize("entry", CLASSICS[::9], ids=lambda c: c.id)
def test_classics_are_read_as_by_pymatgen(entry):
    check_equal(parse_cif(entry.cif), read_with_pymatgen(entry.cif))


@pytest.mark.parametrize("id", ["Nb3Sn", "MgB2", "FeSe", "La2CuO4", "YNi2B2C", "PbMo6S8"])
def test_symmetry_is_applied_as_by_pymatgen(id):
    structure = next(parse_cif(c.cif) for c in CLASSICS if c.formula == id)
    text = str(CifWriter(structure, symprec=0.01))
    assert "\n  2  '" in text, "the file must list symmetry operations"
    check_equal(parse_cif(text), read_with_pymatgen(text))


@pytest.mark.shared
def test_3dsc_is_read_as_by_pymatgen(shared_data):
    """Every hundredth file; ``python -m benchmarks.read_cif --compare`` compares all 10,901."""
    archive = str(shared_data / "3dsc" / "3DSC_MP.tar.xz")
    for entry in load_dataset("3dsc", archive).crystals[::100]:
        check_equal(parse_cif(entry.cif), read_with_pymatgen(entry.cif))


@pytest.mark.parametrize("name", ["Fm-3m", "I4/mmm", "P6_3/mmc", "R-3m", "P 4/n m m :2"])
def test_space_group_name_gives_its_operations(name):
    """Compared with the full list of the operations of the same group."""
    group = gemmi.find_spacegroup_by_name(name.replace("_", ""))
    cell = {"c": 5, "gamma": 120} if group.crystal_system_str() in ("hexagonal", "trigonal") else {}
    if group.crystal_system_str() == "tetragonal":
        cell = {"c": 5}
    listed = operations(*(op.triplet() for op in group.operations()))
    site = "Nb Nb 0.11 0.23 0.37 0.5\n" if group.number < 200 else "Nb Nb 0 0 0.21 0.5\n"
    named = f"_symmetry_space_group_name_H-M '{name}'\n"
    check = [parse_cif(crystal(site, a=9, symmetry=text, **cell)) for text in (named, listed)]
    assert len(check[0]) == len(check[1]) > 1
    assert {tuple(x.round(6) % 1) for x in check[0].frac_coords} == {
        tuple(x.round(6) % 1) for x in check[1].frac_coords
    }


def test_supercell_is_the_same_material():
    structure = Structure(Lattice.hexagonal(3.1, 3.5), ["Mg", "B", "B"],
                          [[0, 0, 0], [1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])  # fmt: skip
    for made in (structure, structure * (2, 1, 1), structure * (1, 1, 3)):
        found = parse_cif(made.to(fmt="cif"))
        assert found.composition.reduced_formula == "MgB2"
        assert found.volume / len(found) == pytest.approx(structure.volume / 3)


@pytest.mark.parametrize("text", [None, np.nan, pd.NA, "", " \n"], ids=repr)
def test_missing_text_is_reported_as_empty(text):
    with pytest.raises(CrystalError, match="The CIF text is empty"):
        parse_cif(text)


@pytest.mark.parametrize("text", [7, b"data_x", np.array([1, 2]), ["data_x"]], ids=repr)
def test_input_that_is_not_text_is_refused(text):
    with pytest.raises(CrystalError, match="A CIF must be text, not"):
        parse_cif(text)


def test_noble_gases_are_read_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(parse_cif(crystal("Ar1 Ar 0 0 0 1\nHe1 He .5 .5 .5 1\n", a=5))) == 2


def test_reading_in_threads_gives_the_same_results():
    """Each bad text gets its own message, independent of other threads."""
    bad = [crystal(f"X{i} Q{i} 0 0 0 1\n") for i in range(200)]
    good = [entry.cif for entry in CLASSICS[:60]]
    mixed = [text for pair in zip(bad, good * 4, strict=False) for text in pair]
    alone = [parsed(text)[0] for text in mixed]
    with ThreadPoolExecutor(8) as pool:
        together = [found for found, _ in pool.map(parsed, mixed)]
    assert together == alone
    assert all(f"X{i} " in message for i, message in enumerate(together[::2]))


def test_reading_does_not_change_warning_filters():
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for entry in CLASSICS[:20]:
            parse_cif(entry.cif)
    assert caught == []
    assert list(warnings.filters) == before


# --- fuzzing: mutated real files, and texts generated by the CIF grammar

FUZZ = settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def check_crystal_or_message(text):
    """The text gives a crystal within the limits, or a refusal in one sentence."""
    found, _ = parsed(text)
    if isinstance(found, str):
        check_message(found)
        return
    assert 0 < len(found) <= MAX_ATOMS
    assert np.isfinite(found.frac_coords).all()
    assert all(0 < site.species.num_atoms <= 1 + 1e-9 for site in found)


@FUZZ
@given(mutants([c.cif for c in CLASSICS[::20]]))
def test_mutated_file_gives_a_crystal_or_one_sentence(text):
    check_crystal_or_message(text)


@FUZZ
@given(texts())
def test_generated_text_gives_a_crystal_or_one_sentence(text):
    check_crystal_or_message(text)


@pytest.mark.long
@settings(FUZZ, max_examples=25_000, derandomize=False)
@given(mutants([c.cif for c in CLASSICS]))
def test_25_000_mutated_files_give_crystals_or_sentences(text):
    check_crystal_or_message(text)


@pytest.mark.long
@settings(FUZZ, max_examples=25_000, derandomize=False)
@given(texts())
def test_25_000_generated_texts_give_crystals_or_sentences(text):
    check_crystal_or_message(text)
