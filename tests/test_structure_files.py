"""Structures of pymatgen and ASE, and structure files of all kinds, as CIF text."""

import re
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from example_structures import ALL, la2cuo4, nb3sn, triclinic
from pymatgen.core import DummySpecies, Lattice, Structure

from supervision.data.cif import parse_cif
from supervision.data.cif_writer import structure_to_cif
from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError
from supervision.data.structure_files import find_structure_files
from supervision.data.structure_inputs import file_inputs, structure_inputs

CRYSTALS = {c.id: c for c in load_dataset("classics").crystals}
SOME = list(CRYSTALS)[::12]
PYTHON_TERMS = re.compile(
    r"Error:|NoneType|index out of range|modulo|division|invalid literal|could not convert|"
    r"unpack|object has no|Traceback"
)


def assert_same_crystal(one, other):
    """The same cell, and the same sites up to their order."""
    np.testing.assert_allclose(one.lattice.parameters, other.lattice.parameters, atol=1e-9)
    assert len(one) == len(other)
    for site in one:
        near = [s for s in other if s.distance(site) < 1e-6]
        assert len(near) == 1
        assert {e.name: x for e, x in near[0].species.items()} == pytest.approx(
            {e.name: x for e, x in site.species.items()}
        )


@pytest.mark.parametrize("name", list(ALL))
def test_a_pymatgen_structure_is_read_back_as_it_is(name):
    structure = ALL[name]()
    assert_same_crystal(parse_cif(structure_to_cif(structure)), structure)


@pytest.mark.parametrize("name", SOME)
def test_pymatgen_and_ase_give_the_crystal_of_the_cif_file(name, tmp_path):
    expected = CRYSTALS[name].structure
    path = tmp_path / "crystal.cif"
    path.write_text(CRYSTALS[name].cif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen rounds coordinates, as this project does
        structures = Structure.from_file(path), read(path)
    for given in structures:
        (found,) = structure_inputs(given)
        assert found.error == ""
        assert_same_crystal(parse_cif(found.cif), expected)


def test_oxidation_states_are_left_out():
    structure = nb3sn()
    structure.add_oxidation_state_by_element({"Nb": 4, "Sn": -2})
    assert structure_to_cif(structure) == structure_to_cif(nb3sn())


def test_a_left_handed_cell_keeps_its_crystal():
    right = triclinic()
    left = Structure(
        Lattice(-right.lattice.matrix), [site.species for site in right], -right.frac_coords
    )
    assert np.linalg.det(left.lattice.matrix) * np.linalg.det(right.lattice.matrix) < 0
    assert_same_crystal(parse_cif(structure_to_cif(left)), parse_cif(structure_to_cif(right)))


@pytest.fixture
def folder(tmp_path):
    """A structure in every kind of file, and files that are not structures."""
    structure = nb3sn()
    structure.to(filename=str(tmp_path / "a.CIF"), fmt="cif")
    structure.to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    structure.to(filename=str(tmp_path / "CONTCAR.relaxed"), fmt="poscar")
    structure.to(filename=str(tmp_path / "b.vasp"), fmt="poscar")
    structure.to(filename=str(tmp_path / "c.json"), fmt="json")
    atoms = structure.to_ase_atoms()
    write(tmp_path / "d.extxyz", atoms, format="extxyz")
    write(tmp_path / "e.xsf", atoms, format="xsf")
    write(tmp_path / "f.res", atoms, format="res")
    write(tmp_path / "g.gen", atoms, format="gen")
    write(tmp_path / "h.traj", [bulk("Nb"), atoms], format="traj")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ASE moves this format to a plugin
        write(tmp_path / "geometry.in", atoms, format="aims")
    (tmp_path / "notes.txt").write_text("Nb3Sn is brittle")
    (tmp_path / "settings.json").write_text('{"encut": 500}')
    return tmp_path


def test_structure_files_of_a_folder_are_read_by_their_kind(folder):
    found = find_structure_files([folder])
    assert len(found.files) == 11
    for given in file_inputs(found.files):
        assert given.error == "", given
        np.testing.assert_allclose(
            np.sort(parse_cif(given.cif).distance_matrix, axis=None),
            np.sort(nb3sn().distance_matrix, axis=None),
            atol=1e-4,
        )


def test_files_that_are_not_structures_are_listed(folder):
    found = find_structure_files([folder])
    assert (
        found.skipped_line() == "Skipped 2 files that are not structures: notes.txt, settings.json"
    )
    for n in range(3):
        (folder / f"z{n}.log").write_text("")
    line = find_structure_files([folder]).skipped_line()
    assert line == "Skipped 5 files that are not structures: notes.txt, settings.json, z0.log, ..."


def test_a_folder_without_structures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DatasetError, match="holds no structure file; supported are CIF, POSCAR"):
        find_structure_files([tmp_path])
    with pytest.raises(DatasetError, match="is neither a file nor a folder"):
        find_structure_files([tmp_path / "nowhere"])


def test_a_cif_file_needs_no_suffix_when_it_is_named(tmp_path):
    (tmp_path / "crystal.txt").write_text(CRYSTALS[SOME[0]].cif)
    (found,) = structure_inputs(tmp_path / "crystal.txt")
    assert_same_crystal(parse_cif(found.cif), CRYSTALS[SOME[0]].structure)


def test_every_structure_of_an_extxyz_file_is_read(tmp_path):
    write(tmp_path / "two.extxyz", [bulk("Nb"), bulk("Pb")], format="extxyz")
    found = structure_inputs(str(tmp_path / "two.extxyz"))
    assert [given.name.rpartition("/")[2] for given in found] == [
        "two.extxyz (1)",
        "two.extxyz (2)",
    ]
    assert [parse_cif(given.cif).composition.reduced_formula for given in found] == ["Nb", "Pb"]


@pytest.mark.parametrize("column", ["cif", "path"])
def test_a_table_names_files_beside_it(folder, column):
    (folder / "table.csv").write_text(
        f"{column},note\nPOSCAR,good\nnowhere.cif,bad\n../outside.cif,bad\n,empty\n"
    )
    found = structure_inputs(folder / "table.csv")
    assert parse_cif(found[0].cif).composition.reduced_formula == "Nb3Sn"
    assert [bool(given.error) for given in found] == [False, True, True, True]
    assert "No such file" in found[1].error
    assert found[2].error == "'../outside.cif' is not in the folder of the table."
    assert found[3].name.endswith("table.csv row 4")


def test_a_table_may_hold_cif_texts(tmp_path):
    text = CRYSTALS[SOME[0]].cif
    (tmp_path / "table.csv").write_text('cif\n"' + text.replace('"', '""') + '"\n')
    (found,) = structure_inputs(tmp_path / "table.csv")
    assert_same_crystal(parse_cif(found.cif), CRYSTALS[SOME[0]].structure)
    (tmp_path / "table.csv").write_text("structure\nPOSCAR\n")
    (found,) = structure_inputs(tmp_path / "table.csv")
    assert found.error.endswith("has none of the columns cif, path, formula.")


POSCAR = """title
1.0
3 0 0
0 3 0
0 0 3
{symbols}
{counts}
direct
0 0 0
"""
BAD_FILES = {
    "POSCAR": (POSCAR.format(symbols="Nb", counts="0"), "has no atoms"),
    "POSCAR.4": (POSCAR.format(symbols="1", counts="direct"), "does not name its elements"),
    "POSCAR.cut": ("\n".join(POSCAR.splitlines()[:6]), "is incomplete"),
    "POSCAR.text": ("prose\n" * 12, "damaged"),
    "POSCAR.element": (POSCAR.format(symbols="Xq", counts="1"), "is not an element"),
    "empty.extxyz": ("", "holds no structure"),
    "zero.xyz": ("0\n\n", "no atoms"),
    "molecule.xyz": ("1\n\nH 0 0 0\n", "not periodic in three directions"),
    "damaged.xsf": ("CRYSTAL\nPRIMVEC\n1 2\n", "damaged"),
    "empty.res": ("", "."),
    "unknown.dat": ("prose", "no data_ block"),
}


@pytest.mark.parametrize("name", list(BAD_FILES))
def test_a_bad_file_has_a_plain_error(name, tmp_path):
    content, said = BAD_FILES[name]
    (tmp_path / name).write_text(content)
    (found,) = structure_inputs(tmp_path / name)
    assert said in found.error
    assert found.error.endswith(".")
    assert not PYTHON_TERMS.search(found.error)


def test_a_cif_without_atoms_has_a_plain_error(tmp_path):
    cell = "\n".join(f"_cell_length_{x} 4" for x in "abc")
    cell += "\n" + "\n".join(f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma"))
    atoms = "\nloop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
    atoms += "_atom_site_fract_z\n"
    for text in (f"data_x\n{cell}\n", f"data_x\n{cell}{atoms}", "data_x\n"):
        with pytest.raises(ValueError, match=r".+\.") as refused:
            parse_cif(text)
        assert not PYTHON_TERMS.search(str(refused.value))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Atoms(), "The structure has no atoms."),
        (Atoms("Nb", cell=[3, 3, 3]), "not periodic in three directions"),
        (Atoms("Nb", pbc=True), "not periodic in three directions"),
        (Atoms("X", cell=[3, 3, 3], pbc=True), "The species 'X' is not an element."),
        (Structure(Lattice.cubic(3), [DummySpecies("X")], [[0, 0, 0]]), "is not an element."),
        (3, "An object of type int is not a structure"),
        ([None], "An object of type NoneType is not a structure"),
        ("nowhere.cif", "nowhere.cif is neither a file nor a folder."),
        ("x" * 10_000, "."),
    ],
    ids=["empty", "no pbc", "no cell", "X", "dummy", "number", "None", "no file", "long name"],
)
def test_an_object_that_is_no_crystal_has_a_plain_error(given, said):
    (found,) = structure_inputs(given)
    assert said in found.error


def test_a_list_may_mix_all_forms(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = structure_inputs([la2cuo4(0.1), bulk("Nb"), "POSCAR", CRYSTALS[SOME[0]].cif, 3])
    assert [given.name for given in found] == [
        "structure 1",
        "structure 2",
        "POSCAR",
        "structure 4",
        "structure 5",
    ]
    assert [bool(given.error) for given in found] == [False] * 4 + [True]
