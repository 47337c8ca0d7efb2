"""``import supervision`` in a notebook: which model is loaded, what it predicts and prints."""

import json
import subprocess
import sys
import warnings
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from ase.io import read, write
from example_structures import nb3sn
from logged import MODEL_FAMILIES, log_untrained, untrained
from mlflow.exceptions import MlflowException
from projects import ROOT
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

import supervision
import supervision.data.errors as installed_errors
from supervision.answer.answer import Answer
from supervision.answer.loaded import LoadedModel
from supervision.data.crystals import Crystal
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.models.predictor import PROVENANCE_FILE
from tracking.serving.downloads import download

CRYSTALS = {c.id: c for c in load_dataset("classics").crystals}
DISORDERED = next(c for c in CRYSTALS.values() if not c.structure.is_ordered)
ORDERED = next(c for c in CRYSTALS.values() if c.structure.is_ordered)


@pytest.fixture(scope="module")
def logged(store, tmp_path_factory):
    """The folder of a logged composition model."""
    return download(log_untrained("composition", tmp_path_factory.mktemp("model") / "predictor"))


@pytest.fixture(scope="module")
def loaded(logged):
    return supervision.load(logged)


# --- what it predicts


def forms(crystal, folder):
    """The same crystal in all forms that keep its occupancies."""
    path = folder / "crystal.cif"
    path.write_text(crystal.cif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_file(path)
    structure.to(filename=str(folder / "structure.json"), fmt="json")
    given = [crystal.cif, path, str(path), structure, read(path), folder / "structure.json"]
    if structure.is_ordered:
        (folder / "POSCAR").write_text(Poscar(structure).get_str(significant_figures=16))
        write(folder / "crystal.traj", read(path), format="traj")
        given += [folder / "POSCAR", folder / "crystal.traj"]
    return given


@pytest.mark.parametrize("model_family", MODEL_FAMILIES)
@pytest.mark.parametrize("crystal", [ORDERED, DISORDERED], ids=["ordered", "disordered"])
def test_a_crystal_has_the_same_tc_in_every_form(model_family, crystal, tmp_path):
    untrained(model_family).save(tmp_path / "predictor")
    model = supervision.load(tmp_path / "predictor")
    found = model.predict(forms(crystal, tmp_path))
    assert list(found["error"]) == [""] * len(found)
    assert found["tc_kelvin"].to_numpy() == pytest.approx(found["tc_kelvin"][0], abs=1e-6)
    assert found["formula"].nunique() == 1


def test_the_prediction_is_that_of_the_logged_model(logged, loaded):
    expected = mlflow.pyfunc.load_model(str(logged)).predict(pd.DataFrame({"cif": [ORDERED.cif]}))
    assert loaded.predict(ORDERED.cif)["tc_kelvin"][0] == expected[0]["tc_kelvin"]
    assert loaded.answer(ORDERED.cif).tc_kelvin == expected[0]["tc_kelvin"]


def test_a_bad_structure_is_a_row_with_its_error(loaded):
    found = loaded.predict([nb3sn(), "data_x\n", 3, "nowhere.cif", DISORDERED.cif])
    assert list(found.columns) == list(Answer("").fields())
    assert found["tc_kelvin"].notna().tolist() == [True, False, False, False, True]
    assert found["formula"][0] == "Nb3Sn"
    assert found["error"][0] == ""
    assert found["error"][1].startswith("The CIF could not be read")


def test_predictions_print_as_a_whole_table(loaded):
    printed = str(loaded.predict([nb3sn(), 3]))
    assert "..." not in printed
    assert "Nb3Sn" in printed and "An object of type int is not a structure" in printed


def test_one_structure_has_one_answer_and_a_bad_one_raises_its_sentence(loaded):
    assert loaded.answer(nb3sn()).formula == "Nb3Sn"
    with pytest.raises(CrystalError, match=r"^The CIF could not be read: "):
        loaded.answer("data_x\n")
    with pytest.raises(CrystalError, match="2 structures are given; use predict"):
        loaded.answer([nb3sn(), nb3sn()])


class OneRowRefuses:
    """A model of an earlier version: one bad row refuses the whole request."""

    metadata = SimpleNamespace(run_id="")

    def __init__(self):
        self.requests = []

    def predict(self, table):
        self.requests.append(len(table))
        for row, cif in enumerate(table["cif"]):
            if "refused" in cif:
                raise MlflowException(f"Row {row}: It is refused.")
        return pd.DataFrame({"tc_kelvin": np.full(len(table), 7.0)})


def test_a_model_of_an_earlier_version_still_answers_for_every_row(monkeypatch, tmp_path):
    earlier = OneRowRefuses()
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda folder: earlier)
    model = supervision.load(tmp_path)
    good, refused = ORDERED.cif, ORDERED.cif.replace("data_", "data_refused", 1)
    found = model.predict([good, refused, 3, good, refused])
    assert found["error"].tolist()[:2] == ["", "It is refused."]
    assert found["tc_kelvin"].notna().tolist() == [True, False, False, True, False]
    assert earlier.requests == [4, 1, 1, 1, 1]


# --- which model answers


def test_a_model_of_the_embedded_data_set_is_a_demonstration(tmp_path):
    untrained("composition").save(tmp_path)
    for dataset, expected in (("classics", True), ("3dsc", False)):
        (tmp_path / PROVENANCE_FILE).write_text(json.dumps({"dataset": dataset}))
        model = supervision.load(tmp_path)
        assert model.is_demonstration is expected
        assert ("demonstration" in repr(model)) is expected
        assert str(tmp_path) in repr(model)


def test_a_store_without_models_says_what_to_do(tmp_path, no_released):
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        with pytest.raises(
            ValueError, match=r"^No model is registered in .*: train one with `python"
        ):
            supervision.load()
    finally:
        mlflow.set_tracking_uri(before)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_says_what_is_registered(own_store, no_released):
    with pytest.raises(ValueError, match=r"'nowhere' is neither .* \(none is registered\)"):
        supervision.load("nowhere")
    with pytest.raises(ValueError, match=r"^No model is registered in"):
        supervision.load()


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded"):
        supervision.load(tmp_path)


# --- the model's own code beside the installed package


def test_a_model_answers_by_its_own_code_and_the_package_stays(logged, loaded, tmp_path):
    import shutil

    changed = shutil.copytree(logged, tmp_path / "changed")
    (code,) = changed.rglob("composition/predictor.py")
    code.write_text(
        code.read_text() + "\nCompositionPredictor.predict = lambda self, crystals: [77.0] * "
        "len(crystals)\n"
    )
    before = {name: m for name, m in sys.modules.items() if name.startswith("supervision")}
    path = list(sys.path)
    other = supervision.load(changed)
    expected = loaded.predict(nb3sn())["tc_kelvin"][0]
    assert other.predict([nb3sn(), nb3sn()])["tc_kelvin"].tolist() == [77, 77]
    assert loaded.predict(nb3sn())["tc_kelvin"][0] == expected != 77
    assert other.predict(nb3sn())["tc_kelvin"][0] == 77
    after = {name: m for name, m in sys.modules.items() if name.startswith("supervision")}
    assert before.items() <= after.items()
    assert sys.path == path
    assert sys.modules["supervision"] is supervision
    with pytest.raises(installed_errors.CrystalError):
        Crystal("x", "", "data_x").structure  # noqa: B018
    assert isinstance(supervision.load(logged), LoadedModel)


NOTEBOOK = """
import sys
import supervision

heavy = {"mlflow", "torch", "pymatgen", "pandas", "numpy"} & set(sys.modules)
assert not heavy, heavy
model = supervision.load(sys.argv[1])
print(model)
print(model.predict(sys.argv[2:]))
"""


@pytest.mark.slow
def test_nothing_but_the_table_is_printed(store, tmp_path):
    uri = log_untrained("composition", tmp_path / "predictor")
    (tmp_path / "a.cif").write_text(DISORDERED.cif)
    nb3sn().to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, uri, str(tmp_path / "a.cif"), str(tmp_path / "POSCAR")],
        cwd=tmp_path, env=store[1] | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 4
