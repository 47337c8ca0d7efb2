"""Input folders: what the codes' own parsers read back, the index, and what is refused."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer
from ase.io.espresso import read_espresso_in, read_fortran_namelist
from example_structures import la2cuo4, mgb2, nb3sn
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar
from typer.testing import CliRunner

import supervision
from entrypoints.hand_over import app
from entrypoints.options import add_command
from supervision.answer.answer import Answer
from supervision.answer.loaded import LoadedModel
from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, DatasetError
from supervision.design.theory.espresso import Pseudopotential, sssp, write_espresso
from supervision.design.theory.hand_over import HandOverOptions, hand_over, hand_over_text
from supervision.design.theory.meshes import Meshes, MeshOptions
from supervision.design.theory.vasp import write_vasp

PSEUDOPOTENTIALS = Path("/usr/share/espresso/pseudo")  # of Debian's quantum-espresso-data
PROGRAMS = ("pw", "ph", "q2r", "matdyn")


def crystal_of(structure, name):
    return Crystal(name, structure.composition.reduced_formula, structure_to_cif(structure))


def answers_of(crystals, temperatures):
    return [
        Answer(c.id, c.formula, tc_kelvin=tc, tc_lower=tc - 1, tc_upper=tc + 1)
        for c, tc in zip(crystals, temperatures, strict=True)
    ]


def mesh_of(file):
    lines = file.read_text().splitlines()
    return [int(x) for x in lines[lines.index("K_POINTS automatic") + 1].split()]


def namelists(file):
    with file.open() as lines:
        return read_fortran_namelist(lines)[0]


# --- meshes


def test_meshes_are_nested_and_have_the_density_by_hand():
    """V* = (2 pi / 4)^3 = 3.876; 200 V* = 775 = 9.2^3 and 12 V* = 46.5 = 3.6^3."""
    cubic = Structure(Lattice.cubic(4), ["Nb"], [[0, 0, 0]])
    assert Meshes.of(cubic, MeshOptions()) == Meshes((3,) * 3, (9,) * 3, (18,) * 3)
    long = Structure(Lattice.tetragonal(4, 12), ["Nb"], [[0, 0, 0]])
    found = Meshes.of(long, MeshOptions(k_density=400, q_density=40))
    assert found.k[2] < found.k[0]
    for coarse, fine in ((found.q, found.k), (found.k, found.dense)):
        assert (np.array(fine) % coarse == 0).all()


# --- Quantum ESPRESSO


@pytest.mark.parametrize("structure", [mgb2(), nb3sn()])
def test_pw_input_is_the_crystal_with_the_cutoffs_of_the_library(structure, tmp_path):
    folder = tmp_path / "espresso"
    write_espresso(structure, folder, MeshOptions())
    symbols = {element.symbol for element in structure.composition}
    meshes = Meshes.of(structure, MeshOptions())
    for name, mesh in (("relax", meshes.k), ("scf", meshes.k), ("scf_dense", meshes.dense)):
        file = folder / f"{name}.in"
        atoms = read_espresso_in(file)
        read = AseAtomsAdaptor.get_structure(atoms)
        assert StructureMatcher(scale=False, primitive_cell=False).fit(read, structure)
        np.testing.assert_allclose(atoms.cell.array, structure.lattice.matrix, atol=1e-9)
        system = namelists(file)["system"]
        assert system["ecutwfc"] == max(sssp()[symbol].wavefunctions for symbol in symbols)
        assert system["ecutrho"] == max(sssp()[symbol].density for symbol in symbols)
        assert system.get("la2f", False) is (name == "scf_dense")
        assert mesh_of(file) == [*mesh, 0, 0, 0]
        assert all(sssp()[symbol].file in file.read_text() for symbol in symbols)


def test_the_other_programs_read_what_the_one_before_them_writes(tmp_path):
    folder = tmp_path / "espresso"
    write_espresso(mgb2(), folder, MeshOptions())
    control = namelists(folder / "scf.in")["control"]
    ph, q2r, matdyn = (
        namelists(folder / f"{name}.in")[section]
        for name, section in (("ph", "inputph"), ("q2r", "input"), ("matdyn", "input"))
    )
    assert (ph["prefix"], ph["outdir"]) == (control["prefix"], control["outdir"])
    assert ph["electron_phonon"] == "interpolated" and ph["ldisp"] and ph["trans"]
    assert (ph["nq1"], ph["nq2"], ph["nq3"]) == Meshes.of(mgb2(), MeshOptions()).q
    assert q2r["fildyn"] == ph["fildyn"] and matdyn["flfrc"] == q2r["flfrc"]
    assert q2r["la2f"] and matdyn["la2f"] and matdyn["dos"]


def test_the_library_has_all_elements_that_models_read():
    """Cutoffs of H, Nb and Fe as listed by Materials Cloud."""
    assert {element.symbol for element in Element if element.Z <= 94} <= set(sssp())
    assert sssp()["Nb"] == Pseudopotential("Nb.pbe-spn-kjpaw_psl.0.3.0.UPF", 40, 320)
    assert (sssp()["Fe"].wavefunctions, sssp()["Fe"].density) == (90, 1080)
    assert all(4 * p.wavefunctions <= p.density for p in sssp().values())


def test_an_element_without_a_pseudopotential_is_refused(tmp_path):
    with pytest.raises(CrystalError, match="The pseudopotential library has no B, Mg"):
        write_espresso(mgb2(), tmp_path / "x", MeshOptions(), {})
    assert not (tmp_path / "x").exists()


@pytest.mark.long
def test_quantum_espresso_runs_from_the_files_to_lambda(tmp_path):
    """Aluminium on coarse meshes: lambda is near 0.4 (0.44, Savrasov, PRB 54, 16487, 1996)."""
    if not all(shutil.which(f"{name}.x") for name in PROGRAMS) or not PSEUDOPOTENTIALS.is_dir():
        pytest.skip("apt-get install quantum-espresso quantum-espresso-data")
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.97), ["Al"], [[0, 0, 0]])
    folder = tmp_path / "al"
    library = {"Al": Pseudopotential("Al.pz-vbc.UPF", 15, 60)}
    options = MeshOptions(k_density=30, q_density=1)
    write_espresso(cell.get_primitive_structure(), folder, options, library)
    (folder / "pseudo").symlink_to(PSEUDOPOTENTIALS)
    steps = [("pw", "relax"), ("pw", "scf_dense"), ("pw", "scf"), *((p, p) for p in PROGRAMS[1:])]
    for program, name in steps:
        with (folder / f"{name}.in").open() as given:
            done = subprocess.run(
                [f"{program}.x"], stdin=given, cwd=folder, capture_output=True, text=True,
                timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        assert done.returncode == 0 and "JOB DONE" in done.stdout, done.stdout[-2000:]
    rows = [line.split() for line in (folder / "lambda").read_text().splitlines()]
    coupling = {float(row[1]): float(row[3]) for row in rows if row and row[0] == "Broadening"}
    assert len(coupling) == 10 and coupling[0.03] == pytest.approx(0.4, abs=0.1)


# --- VASP


def test_vasp_input_is_read_back_and_holds_no_potential(tmp_path):
    structure = nb3sn().get_sorted_structure()
    folder = tmp_path / "vasp"
    write_vasp(structure, folder, MeshOptions(k_density=100))
    assert {p.name for p in folder.iterdir()} == {"POSCAR", "INCAR", "KPOINTS", "POTCAR.spec"}
    read = Poscar.from_file(folder / "POSCAR").structure
    assert StructureMatcher(scale=False, primitive_cell=False).fit(read, structure)
    np.testing.assert_allclose(read.lattice.matrix, structure.lattice.matrix)
    incar = Incar.from_file(folder / "INCAR")
    assert (incar["ISMEAR"], incar["ISIF"], incar["ENCUT"]) == (1, 3, 520)
    kpoints = Kpoints.from_file(folder / "KPOINTS").kpts[0]
    volume = structure.lattice.reciprocal_lattice.volume
    assert kpoints == (int((100 * volume) ** (1 / 3)),) * 3
    assert (folder / "POTCAR.spec").read_text().split() == ["Nb_pv", "Sn_d"]


# --- the folders


@pytest.fixture
def crystals():
    return [
        crystal_of(mgb2(), "mgb2.cif"),
        crystal_of(la2cuo4(0.125), "=lsco.cif"),
        crystal_of(nb3sn(), "nb3sn.cif"),
        Crystal("NbN", "NbN", ""),
        Crystal("bad.cif", "", ""),
    ]


@pytest.fixture
def answers(crystals):
    found = answers_of(crystals[:4], [33, 30, 17, 20])
    return [*found, Answer("bad.cif", error="It has no atoms.")]


def test_the_highest_tc_are_handed_over_and_all_others_are_said(crystals, answers, tmp_path):
    out = tmp_path / "out"
    done = hand_over(crystals, answers, out, HandOverOptions(top=3))
    assert [one.folder for one in done] == ["01_Mg1B2", "02_Sr1La7Cu4O16", "", ""]
    for folder in ("01_Mg1B2", "02_Sr1La7Cu4O16"):
        assert {p.name for p in (out / folder).iterdir()} == {"README.md", "espresso", "vasp"}
    assert {p.name for p in out.iterdir()} == {"index.csv", "01_Mg1B2", "02_Sr1La7Cu4O16"}
    with (out / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["tc_kelvin"] for row in rows] == ["33", "30", "20", ""]
    assert [row["arrangement"] for row in rows[:2]] == ["ordered", "Ewald energy of ionic charges"]
    assert float(rows[1]["composition_error"]) == 0 and rows[1]["atoms"] == "28"
    assert rows[1]["id"] == "'=lsco.cif"
    assert rows[2]["problem"] == "It is a formula without a structure; give a structure."
    assert rows[3]["problem"] == "It has no atoms."
    assert "bad.cif: It has no atoms." in hand_over_text(done)


def test_a_guide_says_what_was_ordered_and_the_order_of_commands(crystals, answers, tmp_path):
    hand_over(crystals, answers, tmp_path, HandOverOptions(to="espresso"))
    guide = (tmp_path / "02_Sr1La7Cu4O16" / "README.md").read_text()
    assert not (tmp_path / "02_Sr1La7Cu4O16" / "vasp").exists()
    assert "Sr0.5 La3.5 Cu2 O8, is disordered" in guide
    assert "No atomic fraction differs by more than 0.0000" in guide
    commands = [f"{name}.x < " for name in ("pw", "ph", "q2r", "matdyn")]
    assert sorted(commands, key=guide.index) == commands
    assert "Allen and\nDynes" in guide


def test_a_refused_crystal_leaves_no_folder(crystals, answers, tmp_path):
    done = hand_over(crystals[:1], answers[:1], tmp_path, HandOverOptions(max_atoms=2))
    assert "over the 2 of max_atoms" in done[0].problem
    assert [p.name for p in tmp_path.iterdir()] == ["index.csv"]


def test_the_same_crystals_give_the_same_files(crystals, answers, tmp_path):
    texts = []
    for name in ("one", "other"):
        hand_over(crystals, answers, tmp_path / name, HandOverOptions())
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        texts.append([(p.relative_to(tmp_path / name), p.read_text()) for p in files])
    assert texts[0] == texts[1]


def test_a_folder_with_content_is_left_alone(crystals, answers, tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(DatasetError, match="is not an empty folder"):
        hand_over(crystals, answers, tmp_path, HandOverOptions())
    assert [p.name for p in tmp_path.iterdir()] == ["note"]


@pytest.mark.parametrize(
    "option", [{"to": "castep"}, {"to": ""}, {"top": 0}, {"k_density": 0}, {"max_atoms": 0}]
)
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        HandOverOptions(**option)


# --- the command


def command(monkeypatch, *arguments):
    """Exit status and output of ``hand-over`` with a model that answers 9.25 K."""
    ask = lambda inputs: [Answer(g.name, tc_kelvin=9.25) for g in inputs]  # noqa: E731
    monkeypatch.setattr(supervision, "load", lambda name: LoadedModel("a model", "", "", "", ask))
    group = typer.Typer()
    add_command(group, "hand-over", app)
    return CliRunner().invoke(group, list(map(str, arguments)))


def test_files_and_folders_are_handed_over_by_the_command(monkeypatch, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.cif").write_text(structure_to_cif(mgb2()))
    nb3sn().to(tmp_path / "POSCAR", fmt="poscar")
    out = tmp_path / "out"
    done = command(monkeypatch, tmp_path / "in", tmp_path / "POSCAR", "--to", "vasp", "--out", out)
    assert done.exit_code == 0, done.output
    assert "9.2 K, 3 atoms" in done.output and (out / "02_Nb3Sn1" / "vasp" / "INCAR").is_file()


def test_no_crystal_is_an_error_of_the_command(monkeypatch, tmp_path):
    done = command(monkeypatch, "")
    assert done.exit_code == 2 and "Nothing to hand over" in done.output
    (tmp_path / "a.cif").write_text(structure_to_cif(mgb2()))
    refused = command(monkeypatch, tmp_path / "a.cif", "--max-atoms", 1, "--out", tmp_path / "out")
    assert refused.exit_code == 2 and "No crystal was handed over" in refused.output
