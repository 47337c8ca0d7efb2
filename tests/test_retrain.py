"""Trainings at the end of a study: their commands and options, and that none is repeated."""

from dataclasses import replace

import mlflow
import pytest

from supervision.experiment.spec import Experiment
from tracking import child_training
from tracking.tuning import retrain
from tracking.tuning.trials import StudyPlan

BEST = {"trees": 200}


@pytest.fixture
def plan(own_store, own_cache):
    return StudyPlan("a study", "journal", "composition", Experiment(dataset="classics"))


@pytest.fixture
def commands(monkeypatch):
    """Records the options of the training commands. Each leaves a finished run."""
    recorded = []

    def run_command(entry_point, options, tags):
        recorded.append(dict(options) | {"entry_point": entry_point, "role": tags["role"]})
        client = mlflow.MlflowClient()
        client.set_terminated(client.create_run("0", tags=dict(tags)).info.run_id)
        return 0

    monkeypatch.setattr(child_training, "_run_command", run_command)
    return recorded


def train(plan, best=BEST, settings_file="best.json"):
    with mlflow.start_run():
        return retrain.retrain_default_and_best(plan, plan.defaults() | best, settings_file)


def test_default_and_best_are_trained_and_only_the_best_is_registered(plan, commands):
    trained = train(plan)
    assert list(trained) == ["default", "tuned"] and len(set(trained.values())) == 2
    for role, run in trained.items():
        assert mlflow.get_run(run).info.run_name.startswith(f"{role} · ")
    default, tuned = commands
    assert default["entry_point"] == tuned["entry_point"] == "train_composition"
    assert (default["config"], default["register"]) == ("", False)
    assert (tuned["config"], tuned["register"]) == ("best.json", True)


def test_default_settings_that_are_the_best_are_trained_once_and_registered(plan, commands):
    assert list(train(plan, {})) == ["default"]
    (only,) = commands
    assert only["register"]


def test_a_finished_training_of_the_study_is_not_repeated(plan, commands):
    assert train(plan) == train(plan)
    assert len(commands) == 2


def test_other_best_settings_and_another_study_are_trained_separately(plan, commands):
    first, second = train(plan), train(plan, {"trees": 201})
    assert first["default"] == second["default"] and first["tuned"] != second["tuned"]
    assert [command["role"] for command in commands] == ["default", "tuned", "tuned"]
    train(replace(plan, study="another"))
    assert len(commands) == 5


def test_another_number_of_epochs_is_trained_separately(plan, commands):
    plan = replace(plan, model_family="graph", weights="none")
    short, long = (train(replace(plan, final_epochs=n), {"beta": 0.5}) for n in (5, 50))
    assert not set(short.values()) & set(long.values())
    assert [command["epochs"] for command in commands] == [5, 5, 50, 50]
    assert len({command["checkpoint_dir"] for command in commands}) == 4


def test_an_archive_is_passed_as_the_dataset(plan, commands):
    experiment = replace(plan.experiment, dataset="3dsc", data="x", archive="a.zip")
    train(replace(plan, experiment=experiment))
    assert {(command["dataset"], command["data"]) for command in commands} == {("a.zip", "")}


@pytest.mark.parametrize("status", [0, 3])
def test_a_training_without_a_finished_run_is_an_error(plan, monkeypatch, status):
    monkeypatch.setattr(child_training, "_run_command", lambda *_: status)
    with pytest.raises(ChildProcessError, match=rf"exit status {status}; .* The same command"):
        train(plan)
