"""Training on a machine without MLflow: prepared here, killed, resumed and imported here."""

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
from tracking.serving.downloads import temporary_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SHAPE = {"model": {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 32}}
# tags that differ: where the run was logged, and the free memory of its machine
MACHINE_TAGS = ("mlflow.source.name", "model_uri", "imported_from", "notes")
DURATION_METRICS = ("epoch_seconds", "train_minutes")


def call(name, *arguments):
    """Run a command of this project in this process; an error raises SystemExit."""
    app = importlib.import_module(f"entrypoints.{name}").app
    typer.main.get_command(app)(list(map(str, arguments)), standalone_mode=False)


def train_on_bare_machine(*arguments):
    command = [sys.executable, str(ROOT / "tests" / "bare.py"), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kill_after(epoch, process, folder):
    """Kill a run after it has written this epoch to the history."""
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
    """The folder and output of a run that was killed and resumed, and its options."""
    temporary = tmp_path_factory.mktemp("elsewhere")
    small = create_backbone("alignn_atomwise", "pure", SHAPE).state_dict()
    save_weights(small, json.dumps(SHAPE), temporary / "small.safetensors")
    weights = temporary / "alignn_ff.safetensors"  # written by prepare
    settings = ["--weights", f"alignn_ff:{weights}", "--epochs", 40, "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))  # so that locks of other trainings have no effect
        patch.setattr("tempfile.tempdir", None)
        archive, folder = temporary / "graphs.zip", temporary / "run"
        call(
            "prepare", "--model-family", "graph", "--limit", 24, "--split", "random",
            "--out", archive, "--weights", f"alignn_ff:{temporary / 'small.safetensors'}",
        )  # fmt: skip
        command = ["entrypoints.train_alignn", "--dataset", archive, *settings, "--out", folder]
        kill_after(2, train_on_bare_machine(*command), folder)
        with pytest.raises(RunFolderError, match="is unfinished: resume it with the command"):
            FinishedRun.read(folder)
        process = train_on_bare_machine(*command)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]
        yield folder, output, [*settings, "--limit", 24]


@pytest.fixture(scope="module")
def runs(store, elsewhere):
    """The imported run, and a run with the same settings that was trained here."""
    folder, _, settings = elsewhere
    call("import_run", folder)
    call("train_alignn", *settings)
    here, imported = mlflow.search_runs(search_all_experiments=True, output_format="list")[:2]
    return (imported, here) if "imported_from" in imported.data.tags else (here, imported)


def test_a_killed_training_is_resumed(elsewhere):
    folder, output, _ = elsewhere
    assert f"Resuming the unfinished training in {folder}." in output
    assert output.splitlines()[-1].startswith(f"{folder} is complete.")
    epochs = [record.epoch for record, _ in FinishedRun.read(folder).history]
    assert epochs == list(range(len(epochs)))
    assert not (folder / "checkpoints").exists()
    assert output.splitlines()[-1] in (folder / "log.txt").read_text()


def test_params_tags_and_metrics_equal_those_of_a_run_trained_here(runs):
    imported, here = runs
    assert imported.info.status == here.info.status == "FINISHED"
    assert imported.data.params == here.data.params
    tags, others = (
        {
            k: v.replace(r.info.run_id, "RUN")
            for k, v in r.data.tags.items()
            if k not in MACHINE_TAGS
        }
        for r in runs
    )  # a description has links to artifacts of its run
    assert tags == others
    metrics, others = ({m for m in r.data.metrics if not m.startswith("system/")} for r in runs)
    assert metrics == others
    for name in metrics - set(DURATION_METRICS):
        assert history(imported, name) == history(here, name), name
    (ours,), (theirs,) = (run.inputs.dataset_inputs for run in runs)
    assert ours.dataset.digest == theirs.dataset.digest


def history(run, name):
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in found]


def artifacts(run, folder=""):
    for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, folder):
        yield from artifacts(run, item.path) if item.is_dir else [item.path]


def test_artifacts_equal_those_of_a_run_trained_here(runs):
    imported, here = (set(artifacts(run)) for run in runs)
    assert imported == here | {"log.txt"}
    for name in ("predictions.csv", "bands.csv", "comparison.csv", "split.csv", "rejects.csv"):
        texts = [mlflow.artifacts.load_text(f"runs:/{r.info.run_id}/{name}") for r in runs]
        assert texts[0] == texts[1], name


def test_notes_are_imported(runs, elsewhere):
    notes = FinishedRun.read(elsewhere[0]).notes
    assert notes and runs[0].data.tags["notes"] == "\n".join(notes)


def test_start_and_end_times_are_imported(runs, elsewhere):
    imported, found = runs[0], FinishedRun.read(elsewhere[0])
    assert imported.info.start_time == round(1000 * found.began)
    assert imported.info.end_time == round(1000 * found.ended)
    logged = mlflow.MlflowClient().get_metric_history(imported.info.run_id, "val_mae")
    assert [m.timestamp for m in logged] == [round(1000 * ended) for _, ended in found.history]


def test_the_imported_model_is_registered_and_predicts_the_same(runs):
    from supervision.data.datasets import load_dataset

    cif = pd.DataFrame({"cif": [load_dataset("classics").crystals[3].cif]})
    predicted = []
    for run in runs:
        model = mlflow.pyfunc.load_model(run.data.tags["model_uri"], dst_path=temporary_folder())
        assert model.metadata.run_id == run.info.run_id
        predicted.append(model.predict(cif)[0]["tc_kelvin"])
    assert predicted[0] == predicted[1]
    versions = mlflow.MlflowClient().search_model_versions("name = 'supervision-graph'")
    assert {run.info.run_id for run in runs} == {v.tags["trained_by"] for v in versions}


def error_message(capsys, name, *arguments):
    with pytest.raises(SystemExit) as stopped:
        call(name, *arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_folder_is_neither_imported_twice_nor_overwritten(runs, elsewhere, capsys, tmp_path):
    folder = elsewhere[0]
    copy = shutil.copytree(folder, tmp_path / "copy")
    message = error_message(capsys, "import_run", copy)
    assert message == f"error: {copy} was imported already: run {runs[0].info.run_id}."
    message = error_message(capsys, "train_alignn", "--out", folder)
    assert message == f"error: {folder} holds a finished training; name another folder."


@pytest.mark.parametrize("name", ["predictions.csv", "model/model.safetensors", "run.json"])
def test_a_damaged_folder_is_refused(elsewhere, tmp_path, capsys, name):
    copy = shutil.copytree(elsewhere[0], tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:-9])
    assert f"{name} has changed since the training" in error_message(capsys, "import_run", copy)
    (copy / name).unlink()
    assert name in error_message(capsys, "import_run", copy)


def test_a_model_that_predicts_other_values_here_is_refused(elsewhere, tmp_path, capsys):
    copy = shutil.copytree(elsewhere[0], tmp_path / "copy")
    table = pd.read_csv(copy / "predictions.csv")
    table["tc_pred"] = 1.1 * table["tc_pred"] + 1
    table.to_csv(copy / "predictions.csv", index=False)
    (copy / "whole.json").write_text(pd.Series(contents(copy)).to_json())
    message = error_message(capsys, "import_run", copy)
    assert "import it with the code that trained it" in message


def test_a_folder_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    message = error_message(capsys, "train_alignn", "--out", tmp_path)
    assert message.endswith("holds something else than a training; name another folder.")
    assert f"{tmp_path} holds no training" in error_message(capsys, "import_run", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["prepare", "--model-family", "poetry"],
            "model_family 'poetry' is not one of vision, graph.",
        ),
        (["prepare", "--out", "tc.csv"], "out=tc.csv must end in .zip."),
        (["prepare", "--split", "random,famly"], "split 'famly' is not one of random, chemsys, "),
        (["train_alignn", "--dataset", "nowhere.zip"], "There is no archive nowhere.zip"),
        (["train_alignn", "--resume", "never"], "leave checkpoint_dir and resume out."),
    ],
    ids=lambda value: value[1].strip("-") if isinstance(value, list) else "",
)
def test_an_invalid_command_prints_one_sentence(tmp_path, capsys, arguments, message):
    if arguments[0] == "train_alignn":
        arguments = [*arguments, "--weights", "none", "--out", tmp_path / "run"]
    assert message in error_message(capsys, *arguments)


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [("supervision.data.datasets", ["--out", "there"]), ("tracking.mlflow_logger", [])],
    ids=["no data", "no tracker"],
)
def test_an_error_names_the_missing_package(own_store, capsys, monkeypatch, missing, arguments):
    monkeypatch.setitem(sys.modules, missing, None)
    message = error_message(capsys, "train_alignn", "--weights", "none", *arguments)
    assert message.startswith(f"error: {missing} is not installed here; a training does without it")


def test_the_packages_that_tests_hide_are_requirements():
    required = (ROOT / "requirements.txt").read_text()
    for name in HIDDEN:
        assert {"sklearn": "scikit-learn", "jarvis": "jarvis-tools"}.get(name, name) in required
