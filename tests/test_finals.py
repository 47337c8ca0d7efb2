"""The running_trainings that a study ends with: by which command, how often, and under whose name."""

from dataclasses import replace

import mlflow
import pytest

from supervision.experiment.spec import Experiment
from tracking.tuning import retrain as finals
from tracking.tuning.trials import StudyPlan

BEST = {"trees": 200}


@pytest.fixture
def plan(own_store, own_cache):
    return StudyPlan("a study", "journal", "composition", Experiment(dataset="classics"))


@pytest.fixture
def commands(monkeypatch):
    """What is run in the place of running_trainings: runs that finish."""
    told = []

    def run(module, options, tags):
        told.append(dict(options) | {"module": module, "role": tags["role"]})
        mlflow.MlflowClient().set_terminated(
            mlflow.MlflowClient().create_run("0", tags=dict(tags)).info.run_id
        )
        return 0

    monkeypatch.setattr(finals, "_run", run)
    return told


def train(plan, best=BEST, settings="best.json"):
    with mlflow.start_run():
        return finals.retrain_default_and_best(plan, plan.defaults() | best, settings)


def test_default_and_best_are_trained_and_the_best_may_become_champion(plan, commands):
    trained = train(plan)
    assert list(trained) == ["default", "tuned"] and len(set(trained.values())) == 2
    for role, run in trained.items():
        assert mlflow.get_run(run).info.run_name.startswith(f"{role} · ")
    default, tuned = commands
    assert default["module"] == tuned["module"] == "entrypoints.train_composition"
    assert (default["config"], default["register"]) == ("", False)
    assert (tuned["config"], tuned["register"]) == ("best.json", True)


def test_where_the_default_was_best_it_is_trained_once(plan, commands):
    assert list(train(plan, {})) == ["default"]
    (only,) = commands
    assert only["register"]


def test_what_the_study_has_trained_is_not_trained_again(plan, commands):
    assert train(plan) == train(plan)
    assert len(commands) == 2


def test_what_was_best_before_is_not_taken_for_what_is_best_now(plan, commands):
    first, second = train(plan), train(plan, {"trees": 201})
    assert first["default"] == second["default"] and first["tuned"] != second["tuned"]
    assert [command["role"] for command in commands] == ["default", "tuned", "tuned"]
    train(replace(plan, study="another"))
    assert len(commands) == 5


def test_a_longer_training_is_another(plan, commands):
    plan = replace(plan, model_family="graph", weights="none")
    short, long = (train(replace(plan, final_epochs=n), {"beta": 0.5}) for n in (5, 50))
    assert not set(short.values()) & set(long.values())
    assert [command["epochs"] for command in commands] == [5, 5, 50, 50]
    assert len({command["checkpoint_dir"] for command in commands}) == 4


def test_an_archive_is_trained_on_as_what_it_is(plan, commands):
    experiment = replace(plan.experiment, dataset="3dsc", data="x", archive="a.zip")
    train(replace(plan, experiment=experiment))
    assert {(command["dataset"], command["data"]) for command in commands} == {("a.zip", "")}


@pytest.mark.parametrize("status", [0, 3])
def test_a_training_that_leaves_no_finished_run_is_an_error(plan, monkeypatch, status):
    monkeypatch.setattr(finals, "_run", lambda *_: status)
    with pytest.raises(ChildProcessError, match=f"exit status {status}; the same command"):
        train(plan)
