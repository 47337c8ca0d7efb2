"""A release from runs in folds: built, answering, registered and served; two minutes."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from described import check_links, description_of
from projects import ROOT

import supervision
from supervision.answer import released
from supervision.data.datasets import load_dataset
from supervision.release.out_of_fold import OutOfFold

pytestmark = pytest.mark.long

SIZES = ("--limit", "120", "--folds", "2", "--register", "false")
FAMILIES = ("composition", "structure")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def run(store, *words):
    """The output of an entry point whose store is in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=store, capture_output=True, text=True, check=False,
        env=environment(store),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def environment(store):
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db",
    }


@pytest.fixture(scope="module")
def runs(store):
    """The ids of runs in two folds, of both families on both splits."""
    found = []
    for split in ("novel", "random"):
        for family in FAMILIES:
            options = ("--model", "boosting", "--trees", "30", "--split", split, *SIZES)
            printed = run(store, "entrypoints.train", family, *options)
            found.append(printed.strip().splitlines()[-1].removeprefix("Run "))
    return found


@pytest.fixture(scope="module")
def release(store, runs):
    """The folder of a release."""
    folder = store / "released"
    build = ("entrypoints.build_release", "--runs", ",".join(runs), "--teach", "")
    run(store, *build, "--out", str(folder))
    return folder


@pytest.fixture
def installed(release, store, monkeypatch):
    """The release in place of the one that ships."""
    monkeypatch.setattr(released, "released_folder", lambda: release)
    monkeypatch.chdir(release)  # no store there
    return release


def test_a_release_has_all_its_models_with_cards(release):
    models = json.loads((release / "manifest.json").read_text())["models"]
    assert set(models) == {"composition", "structure", "ensemble", "fast"}
    for model in models.values():
        card = (release / model["path"] / "README.md").read_text()
        assert "Trained on 120 materials" in card and "sha256" in card


def test_figures_are_those_of_the_runs_in_folds(release, store, runs):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    of = OutOfFold.load(release / "ensemble" / "members" / "composition").of(["novel"])
    logged = mlflow.get_run(runs[0]).data.metrics["test_mae"]
    assert np.abs(of.tc - of.tc_pred).mean() == pytest.approx(logged)


def test_the_ensemble_answers_as_the_mean_of_its_members_and_knows_what_it_learned_from(installed):
    crystal = load_dataset("classics").crystals[0]
    names = ("ensemble", "composition", "structure")
    ensemble, *members = (
        supervision.load(f"released:{name}").answer(crystal.cif + "\n") for name in names
    )
    assert ensemble.tc_kelvin == pytest.approx(np.mean([m.tc_kelvin for m in members]))
    assert re.fullmatch(r"released-\d+\.\d+\.\d+/ensemble", ensemble.model_version)
    found = supervision.load().predict([c.cif + "\n" for c in load_dataset("classics").crystals])
    assert (found["domain"] == "known").sum() >= 120  # which it has learned from, of 280


def test_what_holds_a_release_is_not_overwritten(release, store, runs):
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.build_release", "--runs", runs[0], "--out",
         str(release)],
        cwd=store, capture_output=True, text=True, check=False, env=environment(store),
    )  # fmt: skip
    assert done.returncode == 2 and "holds a release" in done.stderr


def test_a_registered_release_answers_the_same(installed, store, monkeypatch):
    import mlflow
    from typer.testing import CliRunner

    from entrypoints.release import app

    cif = load_dataset("classics").crystals[3].cif + "\n"
    before = supervision.load().answer(cif)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    first = CliRunner().invoke(app, ["--models", "ensemble,fast"])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, ["--models", "ensemble"])
    assert "is released-" in again.output and again.exit_code == 0
    versions = mlflow.MlflowClient().search_model_versions("name = 'supervision'")
    (version,) = versions
    check_links(version.description)
    for part in ("Trained on 120 materials", "## Errors", "## Limits", "get-artifact?"):
        assert part in version.description
    description_of(version.run_id, "Test MAE", "the constant median's", "card.html")
    asked = pd.DataFrame({"cif": [cif]})
    served = mlflow.pyfunc.load_model("models:/supervision-distilled@champion")
    assert np.isfinite(served.predict(asked)[0]["tc_kelvin"])
    aliases = mlflow.MlflowClient().get_registered_model("supervision").aliases
    alias = "champion" if "champion" in aliases else "champion-classics-novel"
    logged = mlflow.pyfunc.load_model(f"models:/supervision@{alias}")
    assert logged.predict(asked)[0]["tc_kelvin"] == pytest.approx(before.tc_kelvin)
