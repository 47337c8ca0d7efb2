"""The experiment that runs are in: named and described, and never another one that was chosen."""

import mlflow
import pytest

from tracking import runs
from tracking.mlflow_experiment import NAME


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
def test_the_experiment_that_mlflow_run_created_bare_is_described(monkeypatch):
    bare = mlflow.create_experiment(NAME)
    run = mlflow.MlflowClient().create_run(bare)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    assert a_run() == run.info.run_id
    assert mlflow.get_experiment(bare).tags["mlflow.experimentKind"] == "custom_model_development"
