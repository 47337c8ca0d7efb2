"""Released models: which one answers, how their files are checked, and what they import."""

import json
import os
import re
import subprocess
import sys

import pytest
from example_structures import nb3sn
from projects import ROOT
from releases import write_release
from versions import candidate, register

import supervision
from supervision.answer import released
from supervision.data.cif_writer import structure_to_cif
from tracking.serving.model_names import choose_model
from tracking.serving.models import load_answerer

IMPORTED = re.compile(r"import time:[\d |]+\| +(\S+)")
HEAVY = {"ase", "lightgbm", "matplotlib", "mlflow", "pandas", "sklearn", "torch"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("checkout") / "released")


@pytest.fixture
def release(package, monkeypatch):
    """The manifest of the released models that are there; no test changes them."""
    monkeypatch.setattr(released, "released_folder", lambda: package)
    return json.loads((package / "manifest.json").read_text())


@pytest.fixture
def no_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)


# --- which one answers


def test_the_fast_model_says_which_it_is(release):
    model = supervision.load(fast=True)
    assert model.summary().splitlines() == ["Model released fast 0.0.1", "MAE 2 K on novel"]
    answer = model.answer(nb3sn())
    assert answer.model_version == "released-0.0.1/fast"
    assert answer.tc_kelvin > 0 and answer.nearest


def test_without_a_store_the_released_default_answers_and_says_why(release, no_store):
    title, why, error = supervision.load().summary().splitlines()
    assert (title, error) == ("Model released ensemble 0.0.1", "MAE 1 K on novel")
    assert why.startswith("The released default answers: there is no mlflow.db in this folder")


def test_a_released_model_is_named_with_a_prefix(release, no_store):
    assert supervision.load("released:fast").summary() == supervision.load(fast=True).summary()
    with pytest.raises(ValueError, match=r"'slow' is not one of the released models \(ensemble, f"):
        supervision.load("released:slow")


def test_fast_beside_a_model_is_refused(release):
    with pytest.raises(ValueError, match="leave out fast, or the model supervision-graph"):
        supervision.load("supervision-graph", fast=True)


def test_explanations_are_of_the_model_that_answers(release, no_store):
    assert load_answerer().version == "released-0.0.1/ensemble"
    assert load_answerer("released:fast").version == "released-0.0.1/fast"


def test_in_an_empty_store_the_released_default_answers(release, own_store):
    assert choose_model() == (
        "released:ensemble",
        "The released default answers: no model is registered in the tracking store.",
    )


def test_a_demonstration_answers_only_by_name(release, own_store):
    name = "supervision-composition"
    register(name, 1, candidate("classics", 2.0))
    location, why = choose_model()
    assert location == "released:ensemble"
    assert f'{name}, is a demonstration (--model {name} or load("{name}") uses it)' in why
    assert choose_model(name).location == f"models:/{name}@champion"


def test_a_champion_that_is_no_demonstration_answers(release, own_store):
    register("supervision-graph", 1, candidate("my crystals", 9.5))
    assert choose_model().location == "models:/supervision-graph/1"


def test_without_released_models_a_demonstration_answers(no_released, own_store):
    register("supervision-composition", 1, candidate("classics", 2.0))
    assert choose_model().location == "models:/supervision-composition/1"
    with pytest.raises(ValueError, match=r"^There are no released models: .*manifest.json is miss"):
        supervision.load(fast=True)


# --- checked files


@pytest.fixture
def damage(package, tmp_path, monkeypatch):
    """Point to a copy of the released models in which a function has changed a file."""

    def copy(name, change):
        for path in package.rglob("*.*"):
            target = tmp_path / path.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        change(tmp_path / name)
        monkeypatch.setattr(released, "released_folder", lambda: tmp_path)

    return copy


@pytest.mark.parametrize("name", ["config.json", "made_from.json", "answer/known.safetensors"])
def test_a_changed_file_is_named_and_nothing_is_loaded(damage, name):
    damage(f"ensemble/{name}", lambda path: path.write_bytes(b"?"))
    with pytest.raises(ValueError, match=rf"ensemble/{name} is not the file that was released; in"):
        supervision.load("released:ensemble")
    assert supervision.load(fast=True).answer(nb3sn()).tc_kelvin > 0  # its files are whole


def test_a_missing_file_is_named(damage):
    damage("fast/first/forest.safetensors", os.unlink)
    with pytest.raises(ValueError, match=r"fast/first/forest.safetensors of a released model is m"):
        supervision.load(fast=True)


def test_a_damaged_manifest_is_named(damage):
    damage("manifest.json", lambda path: path.write_text("{"))
    with pytest.raises(ValueError, match=r"manifest.json is damaged; install supervision-tc again"):
        supervision.load(fast=True)


# --- imports


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["entrypoints.predict", "--fast"], HEAVY),
        (["entrypoints.cli", "predict", "--fast"], HEAVY),
        (["entrypoints.predict", "--model", "released:ensemble"], {"mlflow", "torch"}),
        (["entrypoints.predict", "--model", "released/fast"], HEAVY),
        (["entrypoints.cli", "--help"], {*HEAVY, "numpy", "pymatgen"}),
    ],
    ids=["fast", "command", "LightGBM", "folder", "help"],
)
def test_a_prediction_imports_only_what_its_model_needs(package, tmp_path, arguments, forbidden):
    crystal = tmp_path / "crystal.cif"
    crystal.write_text(structure_to_cif(nb3sn()))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments, str(crystal)], cwd=package.parent,
        env=kept | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    assert "Nb3Sn" in done.stdout or "--help" in arguments
    imported = {name.partition(".")[0] for name in IMPORTED.findall(done.stderr)}
    assert "typer" in imported and imported & forbidden == set()
