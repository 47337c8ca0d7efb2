"""A logged model loads and predicts with the packages of its requirements.txt, and no others."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

import mlflow
import pandas as pd
import pytest
from logged import MODEL_FAMILIES, log_untrained
from packaging.requirements import Requirement
from servers import ask, rows, serving

from supervision.data.datasets import load_dataset
from tracking.serving.downloads import download

pytestmark = pytest.mark.slow

CRYSTAL = load_dataset("classics").crystals[3]
ASK = """
import sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(float(model.predict(pandas.DataFrame({"cif": [open(sys.argv[2]).read()]}))[0]["tc_kelvin"]))
"""
HIDE = """
import sys
from importlib.machinery import PathFinder

ALLOWED = set(sys.argv.pop(1).split(","))

class Only(PathFinder):
    "The usual finder without the installed packages that are not allowed."
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = super().find_spec(name, path, target)
        origin = str(getattr(found, "origin", "") or "")
        top = name.partition(".")[0]
        return None if "site-packages" in origin and top not in ALLOWED else found

sys.meta_path[sys.meta_path.index(PathFinder)] = Only
"""


@pytest.fixture(scope="module", params=MODEL_FAMILIES)
def logged(request, store, tmp_path_factory):
    """The folder of a logged model, its prediction here, and the file of a crystal."""
    folder = tmp_path_factory.mktemp(request.param)
    model = download(log_untrained(request.param, folder / "predictor"))
    crystal = folder / "crystal.cif"
    crystal.write_text(CRYSTAL.cif)
    return model, asked(sys.executable, model, crystal), crystal


def asked(python, model, crystal, before="", *arguments):
    """The prediction of a model in a process of that Python."""
    command = [str(python), "-c", before + ASK, *arguments, str(model), str(crystal)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.split()[-1])


def modules_of(requirements):
    """The top modules of the distributions named and of all their dependencies."""
    wanted, seen, modules = list(requirements), set(), set()
    while wanted:
        name = Requirement(wanted.pop()).name.lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of another platform
            continue
        needs = map(Requirement, found.requires or [])
        wanted += [r.name for r in needs if not r.marker or r.marker.evaluate({"extra": ""})]
        modules |= {file.parts[0].partition(".")[0] for file in found.files or []}
    return modules


def test_a_model_needs_only_the_packages_of_its_requirements(logged):
    """All other installed distributions are hidden from it."""
    model, answer, crystal = logged
    lines = (model / "requirements.txt").read_text().splitlines()
    allowed = ",".join(modules_of(lines))
    assert "psutil" not in allowed and "optuna" not in allowed
    assert asked(sys.executable, model, crystal, HIDE, allowed) == answer


def test_trees_predict_without_torch_and_psutil(store, tmp_path):
    model = download(log_untrained("composition", tmp_path / "predictor"))
    lines = (model / "requirements.txt").read_text()
    assert "torch" not in lines and "psutil" not in lines


@pytest.mark.long
def test_a_model_predicts_in_a_fresh_environment_of_its_requirements(logged, tmp_path):
    model, answer, crystal = logged
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "fresh")], check=True)
    python = tmp_path / "fresh" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "-r", str(model / "requirements.txt")]
    subprocess.run(install, check=True)
    assert asked(python, model, crystal) == pytest.approx(answer, abs=1e-4)


def test_a_model_is_served_in_its_own_environment(store, tmp_path):
    """With the README's command and ``--env-manager uv``."""
    model = log_untrained("composition", tmp_path / "predictor")
    expected = mlflow.pyfunc.load_model(model).predict(pd.DataFrame({"cif": [CRYSTAL.cif]}))
    manager = ("--env-manager", "uv")
    with serving(model, store[1], tmp_path / "log", options=manager, seconds=300) as server:
        status, answer = ask(server, rows(CRYSTAL.cif))
    assert status == 200
    assert answer["predictions"][0]["tc_kelvin"] == pytest.approx(expected[0]["tc_kelvin"])
