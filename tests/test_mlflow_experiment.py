"""The experiment that runs are in, and how runs begin and end there."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import mlflow
import pytest
import typer
from projects import ROOT

from entrypoints import train_composition
from supervision.runtime.lock import BusyError
from tracking import runs
from tracking.mlflow_experiment import NAME, experiment_id


def experiment_of(run_id):
    return mlflow.get_experiment(mlflow.get_run(run_id).info.experiment_id)


def a_run():
    with runs.tracked_run("a run"):
        return runs.run_id()


@pytest.mark.usefixtures("own_store")
def test_a_run_is_in_the_projects_experiment_which_is_described_as_model_training():
    experiment = experiment_of(a_run())
    assert experiment.name == NAME
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    link = f"#/experiments/{experiment.experiment_id}/runs"
    assert link in experiment.tags["mlflow.note.content"]
    assert experiment_of(a_run()).experiment_id == experiment.experiment_id
    view = json.loads(experiment.tags["mlflow.sharedViewState.errors"])
    assert all(name.startswith("metrics.") for name in view["selectedColumns"][:3])
    assert not any(name.startswith("attributes.") for name in view["selectedColumns"])


@pytest.mark.usefixtures("own_store")
def test_parameters_of_a_run_of_mlflow_run_are_read_as_they_were_used(monkeypatch):
    client = mlflow.MlflowClient()
    run = client.create_run(mlflow.create_experiment("chosen")).info.run_id
    for name, quoted in {"extra": "''", "data": "'a b.csv'", "epochs": "auto"}.items():
        client.log_param(run, name, quoted)
    assert runs.used_params(client.get_run(run))["extra"] == ""  # of a run without extra_used
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    with runs.tracked_run("a run"):
        runs.log_params({"extra": "", "data": "a b.csv", "epochs": 6, "trees": 5})
    used = {"extra": "", "data": "a b.csv", "epochs": "6", "trees": "5"}
    assert used.items() <= runs.used_params(client.get_run(run)).items()


@pytest.mark.usefixtures("own_store")
def test_a_deleted_experiment_is_restored():
    first = experiment_of(a_run())
    mlflow.MlflowClient().delete_experiment(first.experiment_id)
    assert experiment_of(a_run()).experiment_id == first.experiment_id


@pytest.mark.usefixtures("own_store")
def test_an_experiment_that_the_environment_names_is_used_and_left_as_it_is(monkeypatch):
    chosen = mlflow.create_experiment("chosen")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", chosen)
    experiment = experiment_of(a_run())
    assert experiment.experiment_id == chosen
    assert "mlflow.experimentKind" not in experiment.tags


@pytest.mark.usefixtures("own_store")
@pytest.mark.parametrize("chosen", [None, "chosen"])
def test_two_commands_that_find_no_experiment_both_use_the_one_that_is_created(monkeypatch, chosen):
    if chosen:
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", chosen)
    both, look_up = Barrier(2), mlflow.MlflowClient.get_experiment_by_name

    def look_up_together(self, name):
        found = look_up(self, name)
        if found is None:
            both.wait(60)
        return found

    mlflow.search_experiments()  # opens the store
    monkeypatch.setattr(mlflow.MlflowClient, "get_experiment_by_name", look_up_together)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: experiment_id(), range(2))
    assert first == second
    assert mlflow.get_experiment(first).name == (chosen or NAME)
    assert both.broken is False


RUN_WHEN_TOLD = """
from tracking import runs
print("ready", flush=True)
input()
with runs.tracked_run("a run"):
    pass
"""


@pytest.mark.slow
def test_two_processes_can_open_a_new_store_at_once(tmp_path):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    named = {"MLFLOW_TRACKING_URI": store, "MLFLOW_EXPERIMENT_NAME": "chosen"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RUN_WHEN_TOLD], cwd=ROOT,
            env=os.environ | named | {"TMPDIR": str(tmp_path)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    client = mlflow.MlflowClient(store)
    chosen = client.get_experiment_by_name("chosen").experiment_id
    assert [r.info.status for r in client.search_runs([chosen])] == ["FINISHED"] * 2


@pytest.mark.usefixtures("own_store")
def test_the_experiment_that_mlflow_run_created_bare_is_described(monkeypatch):
    bare = mlflow.create_experiment(NAME)
    run = mlflow.MlflowClient().create_run(bare)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    assert a_run() == run.info.run_id
    assert mlflow.get_experiment(bare).tags["mlflow.experimentKind"] == "custom_model_development"


@pytest.mark.usefixtures("own_store")
def test_a_refused_run_has_its_reason_and_no_traceback():
    refused = runs.tracked_run("refused")
    with pytest.raises(BusyError), refused:
        raise BusyError("another training runs here")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == "BusyError: another training runs here"
    assert mlflow.MlflowClient().list_artifacts(run.info.run_id) == []


@pytest.mark.usefixtures("own_store")
def test_a_training_has_a_name_without_none_and_ends_with_what_to_do_next(capsys):
    command = typer.main.get_command(train_composition.app)
    command(["--limit", "24", "--trees", "5", "--register", "false"], standalone_mode=False)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_name == "composition · classics · random · extra_trees"
    assert capsys.readouterr().out.splitlines()[-1].startswith("Next: `mlflow ui` shows the run; ")
