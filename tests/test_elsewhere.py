"""DataSplits here, trained on a bare machine, killed, carried on, brought in: as if run here."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import typer
from bare import HIDDEN

from supervision.experiment.finished import FinishedRun
from supervision.experiment.run_folder import RunFolderError, contents
from supervision.models.graph.backbone import create_backbone
from supervision.models.weights.sources import save_weights
from tracking.serving.downloads import passing_folder

ROOT = Path(__file__).resolve().parents[1]
SHAPE = {"model": {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 32}}
# tags that say where it was logged, and how much memory was free where it ran
HERE = ("mlflow.source.name", "model_uri", "imported_from", "notes")
SPENT = ("epoch_seconds", "train_minutes")


def call(name, *arguments):
    """A command of ours in this process; what goes wrong is a SystemExit."""
    app = importlib.import_module(f"entrypoints.{name}").app
    typer.main.get_command(app)(list(map(str, arguments)), standalone_mode=False)


def on_a_bare_machine(*arguments):
    command = [sys.executable, str(ROOT / "tests" / "bare.py"), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def killed_after(epoch, process, folder):
    """Kill a training once an epoch is written down."""
    history = folder / "history.jsonl"
    for _ in range(4000):
        if history.is_file() and f'"epoch": {epoch},' in history.read_text():
            break
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def elsewhere(store, tmp_path_factory):
    """The folder of a training that was killed and carried on, and what it said the second time."""
    room = tmp_path_factory.mktemp("elsewhere")
    small = create_backbone("alignn_atomwise", "pure", SHAPE).state_dict()
    save_weights(small, json.dumps(SHAPE), room / "small.safetensors")
    beside = room / "alignn_ff.safetensors"  # where prepare puts them
    settings = ["--weights", f"alignn_ff:{beside}", "--epochs", 40, "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(room))  # other running_trainings of this machine are not ours
        patch.setattr("tempfile.tempdir", None)
        archive, folder = room / "graphs.zip", room / "run"
        call(
            "prepare", "--model_family", "graph", "--limit", 24, "--split", "random", "--out", archive,
            "--weights", f"alignn_ff:{room / 'small.safetensors'}",
        )  # fmt: skip
        there = ["entrypoints.train_alignn", "--dataset", archive, *settings, "--out", folder]
        killed_after(2, on_a_bare_machine(*there), folder)
        with pytest.raises(RunFolderError, match="is unfinished: carry it on with the command"):
            FinishedRun.read(folder)
        process = on_a_bare_machine(*there)
        said, wrong = process.communicate(timeout=300)
        assert process.returncode == 0, wrong[-3000:]
        yield folder, said, [*settings, "--limit", 24]


@pytest.fixture(scope="module")
def runs(store, elsewhere):
    """The run that was brought in, and one of the same settings that ran here."""
    folder, _, settings = elsewhere
    call("import_run", folder)
    call("train_alignn", *settings)
    here, brought = mlflow.search_runs(output_format="list")[:2]
    return (brought, here) if "imported_from" in brought.data.tags else (here, brought)


def test_it_is_carried_on_there(elsewhere):
    folder, said, _ = elsewhere
    assert f"Carrying on what was broken off in {folder}." in said
    assert said.splitlines()[-1].startswith(f"{folder} is whole.")
    epochs = [record.epoch for record, _ in FinishedRun.read(folder).history]
    assert epochs == list(range(len(epochs)))
    assert not (folder / "checkpoints").exists()
    assert said.splitlines()[-1] in (folder / "log.txt").read_text()


def test_params_tags_and_metrics_are_those_of_a_run_here(runs):
    brought, here = runs
    assert brought.info.status == here.info.status == "FINISHED"
    assert brought.data.params == here.data.params
    tags, others = ({k: v for k, v in r.data.tags.items() if k not in HERE} for r in runs)
    assert tags == others
    metrics, others = ({m for m in r.data.metrics if not m.startswith("system/")} for r in runs)
    assert metrics == others
    for name in metrics - set(SPENT):
        assert history(brought, name) == history(here, name), name
    (ours,), (theirs,) = (run.inputs.dataset_inputs for run in runs)
    assert ours.dataset.digest == theirs.dataset.digest


def history(run, name):
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in found]


def artifacts(run, folder=""):
    for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, folder):
        yield from artifacts(run, item.path) if item.is_dir else [item.path]


def test_its_files_are_those_of_a_run_here(runs):
    brought, here = (set(artifacts(run)) for run in runs)
    assert brought == here | {"log.txt"}
    for name in ("predictions.csv", "bands.csv", "comparison.csv", "split.csv", "rejects.csv"):
        texts = [mlflow.artifacts.load_text(f"runs:/{r.info.run_id}/{name}") for r in runs]
        assert texts[0] == texts[1], name


def test_it_says_what_was_noted_there(runs, elsewhere):
    notes = FinishedRun.read(elsewhere[0]).notes
    assert notes and runs[0].data.tags["notes"] == "\n".join(notes)


def test_it_is_dated_by_when_it_ran(runs, elsewhere):
    brought, found = runs[0], FinishedRun.read(elsewhere[0])
    assert brought.info.start_time == round(1000 * found.began)
    assert brought.info.end_time == round(1000 * found.ended)
    logged = mlflow.MlflowClient().get_metric_history(brought.info.run_id, "val_mae")
    assert [m.timestamp for m in logged] == [round(1000 * ended) for _, ended in found.history]


def test_its_model_is_registered_and_answers_the_same(runs):
    from supervision.data.datasets import load_dataset

    cif = pd.DataFrame({"cif": [load_dataset("classics").crystals[3].cif]})
    answers = []
    for run in runs:
        model = mlflow.pyfunc.load_model(run.data.tags["model_uri"], dst_path=passing_folder())
        assert model.metadata.run_id == run.info.run_id
        answers.append(model.predict(cif)["tc_kelvin"][0])
    assert answers[0] == answers[1]
    versions = mlflow.MlflowClient().search_model_versions("name = 'supervision-graph'")
    assert {run.info.run_id for run in runs} == {v.tags["trained_by"] for v in versions}


def refused(capsys, name, *arguments):
    with pytest.raises(SystemExit) as stopped:
        call(name, *arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_it_is_not_brought_in_twice_nor_trained_over(runs, elsewhere, capsys, tmp_path):
    folder = elsewhere[0]
    copy = shutil.copytree(folder, tmp_path / "copy")
    said = refused(capsys, "import_run", copy)
    assert said == f"error: {copy} is here already: run {runs[0].info.run_id}."
    said = refused(capsys, "train_alignn", "--out", folder)
    assert said == f"error: {folder} holds a finished training; name another folder."


@pytest.mark.parametrize("name", ["predictions.csv", "model/model.safetensors", "run.json"])
def test_a_damaged_folder_is_refused(elsewhere, tmp_path, capsys, name):
    copy = shutil.copytree(elsewhere[0], tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:-9])
    assert f"{name} is not as the training left it" in refused(capsys, "import_run", copy)
    (copy / name).unlink()
    assert name in refused(capsys, "import_run", copy)


def test_a_model_that_answers_otherwise_here_is_refused(elsewhere, tmp_path, capsys):
    copy = shutil.copytree(elsewhere[0], tmp_path / "copy")
    table = pd.read_csv(copy / "predictions.csv")
    table["tc_pred"] = 1.1 * table["tc_pred"] + 1
    table.to_csv(copy / "predictions.csv", index=False)
    (copy / "whole.json").write_text(pd.Series(contents(copy)).to_json())
    said = refused(capsys, "import_run", copy)
    assert "bring it in with the code that trained it" in said


def test_other_folders_are_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    said = refused(capsys, "train_alignn", "--out", tmp_path)
    assert said.endswith("holds something else than a training; name another folder.")
    assert f"{tmp_path} holds no training" in refused(capsys, "import_run", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["prepare", "--model_family", "poetry"],
            "model_family 'poetry' is not one of vision, graph.",
        ),
        (["prepare", "--out", "tc.csv"], "out=tc.csv must end in .zip."),
        (["prepare", "--split", "random,famly"], "split 'famly' is not one of random, chemsys, "),
        (["train_alignn", "--dataset", "nowhere.zip"], "There is no archive nowhere.zip."),
        (["train_alignn", "--resume", "never"], "leave checkpoint_dir and resume out."),
    ],
    ids=lambda value: value[1].strip("-") if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(tmp_path, capsys, arguments, message):
    if arguments[0] == "train_alignn":
        arguments = [*arguments, "--weights", "none", "--out", tmp_path / "run"]
    assert message in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [("supervision.data.datasets", ["--out", "there"]), ("tracking.train", [])],
    ids=["no data", "no tracker"],
)
def test_a_bare_machine_says_what_it_lacks(own_store, capsys, monkeypatch, missing, arguments):
    monkeypatch.setitem(sys.modules, missing, None)
    said = refused(capsys, "train_alignn", "--weights", "none", *arguments)
    assert said.startswith(f"error: {missing} is not installed here; a training goes without it")


def test_what_is_hidden_is_what_a_bare_machine_lacks():
    required = (ROOT / "requirements.txt").read_text().split("# checks")[0]
    for name in HIDDEN:
        assert {"sklearn": "scikit-learn", "jarvis": "jarvis-tools"}.get(name, name) in required
