"""A study from its first trial to the models that came of it, killed and carried on."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import psutil
import pytest
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
from postgres import postgres, skip_without
from projects import command_of

from supervision.experiment.spec import Experiment
from supervision.models.families import default_configs
from supervision.models.graph.config import GraphConfig
from supervision.models.vision.config import VisionConfig
from supervision.training.callbacks import EpochRecord
from supervision.training.state import FitConfig
from tracking import runs
from tracking.tuning import search_spaces as spaces
from tracking.tuning import trials, tuning
from tracking.tuning.study import WORKER
from tracking.tuning.trials import OBJECTIVES, StudyPlan, work


@pytest.fixture
def plan(own_store, tmp_path):
    experiment = Experiment(dataset="classics", register=False)
    return StudyPlan("a study", str(tmp_path / "journal"), "composition", experiment)


def children(parent):
    """The runs below a run, the first one first."""
    return mlflow.search_runs(
        filter_string=f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}'",
        order_by=["attributes.start_time"],
        output_format="list",
    )


class Grown:
    """A predictor whose error is what the trial's number of trees says, epoch by epoch."""

    def __init__(self, config):
        self.config = config

    def fit(self, train, val, *, listener, checkpoints):
        assert checkpoints is None
        record = EpochRecord(1, 0.0, self.config.trees, 0.0, 0.0, 0.0, 0.0, True)
        history = [replace(record, epoch=epoch) for epoch in range(1, 4)]
        for record in history:
            listener.epoch(record)
        return history


@pytest.fixture
def grown(monkeypatch):
    """Trials that take no time, of the number of trees alone; 13 of them is an error."""

    class ModelSetup:
        prepare = None

        def __init__(self, config):
            self.predictor = Grown(config)

    def build(_pipeline, configs, _weights, _device):
        if configs[0].trees == 13:
            raise RuntimeError("thirteen")
        return ModelSetup(configs[0])

    class DataSplits:
        def part(self, name):
            assert name in ("train", "val"), "a trial never sees a test material"
            return []

    monkeypatch.setitem(spaces.SPACES, "composition", {"trees": IntDistribution(1, 99)})
    monkeypatch.setattr(trials, "build", build)
    monkeypatch.setattr(trials, "split_materials", lambda *_: DataSplits())


def test_a_failed_trial_is_recorded_and_the_next_one_begins(plan, grown):
    board = plan.board()
    board.want(3, [{"trees": 13}, {"trees": 20}, {"trees": 10}])
    work(plan, parent=os.getppid())
    assert [trial.state.name for trial in board.trials()] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert board.trials()[0].user_attrs["failure"] == "RuntimeError: thirteen"
    assert tuning.best_of(board.counted()).number == 2
    found = mlflow.search_runs(order_by=["attributes.start_time"], output_format="list")
    assert [run.info.run_name for run in found] == ["trial 0", "trial 1", "trial 2"]
    assert [run.info.status for run in found] == ["FAILED", "FINISHED", "FINISHED"]
    assert [r.data.tags["trial_state"] for r in found] == ["failed", "complete", "complete"]
    assert found[2].data.params == {"trees": "10"}
    assert found[2].data.metrics["mae"] == 10
    history = mlflow.MlflowClient().get_metric_history(found[2].info.run_id, "val_mae")
    assert [point.step for point in history] == [1, 2, 3]
    assert board.trials()[2].user_attrs["run"] == found[2].info.run_id


@pytest.fixture
def epochs(monkeypatch):
    """Sets of how many epochs a trial of trees is, as if they learned by epochs."""

    def set_epochs(count):
        defaults = [*default_configs("composition", "classics", 42), FitConfig(epochs=count)]
        monkeypatch.setattr(trials, "default_configs", lambda *_: list(defaults))
        monkeypatch.setattr(trials, "NETWORKS", ("composition",))

    return set_epochs


def test_a_trial_that_has_had_its_epochs_is_not_pruned(plan, grown, epochs):
    epochs(1)
    board = plan.board()
    board.want(6, [{"trees": n} for n in (10, 11, 12, 9, 14, 90)])
    work(plan, parent=os.getppid())
    assert {trial.state for trial in board.trials()} == {TrialState.COMPLETE}


def test_a_trial_that_others_are_better_than_is_pruned_and_says_why(plan, grown, epochs):
    epochs(3)
    assert plan.prunes
    board = plan.board()
    board.want(7, [{"trees": n} for n in (10, 11, 12, 9, 14, 90, 8)])
    work(plan, parent=os.getppid())
    states = [trial.state for trial in board.trials()]
    assert states == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED, TrialState.COMPLETE]
    run = mlflow.get_run(board.trials()[5].user_attrs["run"])
    assert run.info.status == "KILLED"
    assert run.data.tags["trial_state"] == "pruned"
    assert "validation MAE 90.000 K at best by epoch 1" in run.data.tags["pruned_because"]


def test_a_head_that_was_good_keeps_a_trial_whose_backbone_first_loses(
    plan, grown, epochs, monkeypatch
):
    def fit(self, train, val, *, listener, checkpoints):
        first = EpochRecord(0, 0.0, self.config.trees, 0.0, 0.0, 0.0, 0.0, True)
        history = [first, *(replace(first, epoch=n, val_mae=50.0) for n in (1, 2))]
        for record in history:
            listener.epoch(record)
        return history

    epochs(2)
    monkeypatch.setattr(Grown, "fit", fit)
    board = plan.board()
    board.want(7, [{"trees": n} for n in (10, 11, 12, 14, 15, 9, 40)])
    work(plan, parent=os.getppid())
    assert [t.state.name for t in board.trials()[5:]] == ["COMPLETE", "PRUNED"]
    assert board.trials()[5].values == [9.0]


def test_two_objectives_are_two_values_and_nothing_is_pruned(plan, grown, epochs, monkeypatch):
    epochs(3)
    monkeypatch.setattr(trials, "_milliseconds", lambda *_: 2.5)
    plan = replace(plan, objectives=OBJECTIVES)
    assert not plan.prunes
    board = plan.board()
    board.want(2, [{"trees": 10}, {"trees": 20}])
    work(plan, parent=os.getppid())
    assert [trial.values for trial in board.trials()] == [[10, 2.5], [20, 2.5]]


def test_no_trial_begins_when_time_is_up(plan, grown):
    board = plan.board()
    board.want(1)
    work(replace(plan, until=time.time() - 1), parent=os.getppid())
    assert len(board.trials(TrialState.WAITING)) == 1


def test_another_study_of_the_same_name_is_refused(plan):
    tuning._require_same(plan.board(), plan)
    tuning._require_same(plan.board(), replace(plan, device="cuda"))
    other = replace(plan, experiment=replace(plan.experiment, split="family"))
    with pytest.raises(ValueError, match="has split=random, not family"):
        tuning._require_same(plan.board(), other)


def test_all_of_a_study_begins_from_the_same_weights(plan, monkeypatch):
    taken = {"auto": "alignn_ff"}

    def get_weights(name, _pipeline):
        return SimpleNamespace(name=taken.get(name, name))

    monkeypatch.setattr(tuning, "get_weights", get_weights)
    plan = replace(plan, model_family="graph")
    board = plan.board()
    assert tuning._weights(board, plan) == "alignn_ff"
    tuning._require_same(board, replace(plan, weights="alignn_ff"))
    taken["auto"] = "another"  # on a machine that comes to help
    assert tuning._weights(plan.board(), plan) == "alignn_ff"
    chosen = replace(plan, weights="alignn_ff:file")
    assert tuning._weights(board, chosen) == "alignn_ff:file"
    with pytest.raises(ValueError, match="has weights=alignn_ff, not alignn_ff:file"):
        tuning._require_same(board, chosen)


def test_what_a_machine_lacks_is_no_fault_of_a_trial(plan, grown, monkeypatch):
    def split_materials(*_):
        raise FileNotFoundError("no such archive")

    monkeypatch.setattr(trials, "split_materials", split_materials)
    board = plan.board()
    board.want(1)
    with pytest.raises(FileNotFoundError):
        work(plan, parent=os.getppid())
    assert len(board.trials(TrialState.WAITING)) == 1


def test_a_trial_that_was_taken_for_lost_ends_no_worker(plan, grown, monkeypatch):
    board = plan.board()
    board.want(2, [{"trees": 10}, {"trees": 20}])
    judge = trials.TrialRunner._judge

    def judged(self, trial, values):
        if trial.number == 0:
            board.study.tell(0, state=TrialState.FAIL)
        return judge(self, trial, values)

    monkeypatch.setattr(trials.TrialRunner, "_judge", judged)
    work(plan, parent=os.getppid())
    assert [trial.state.name for trial in board.trials()] == ["FAIL", "COMPLETE"]


@pytest.mark.parametrize("model_family", list(spaces.SPACES))
def test_a_space_is_of_settings_and_holds_the_default(model_family):
    plan = StudyPlan("s", "j", model_family, Experiment())
    defaults = plan.defaults()
    assert set(defaults) == set(spaces.SPACES[model_family])
    for name, kind in spaces.SPACES[model_family].items():
        assert kind._contains(kind.to_internal_repr(defaults[name])), name


def test_a_trial_has_as_many_epochs_as_the_plan_says():
    plan = StudyPlan("s", "j", "graph", Experiment(), epochs=3)
    assert plan.configs()[1].epochs == 3
    assert default_configs("graph", "3dsc", 1) == [
        GraphConfig(seed=1),
        FitConfig(epochs=200, patience=20, learning_rate=1e-5, head_rate=1e-3, schedule="plateau"),
    ]
    assert default_configs("vision", "3dsc", 42) == [VisionConfig(), FitConfig()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_family": "audio"},
            "model_family 'audio' is not one of vision, graph, composition",
        ),
        ({"pruner": "scissors"}, "pruner 'scissors' is not one of median, hyperband, none"),
        ({"objectives": ("milliseconds",)}, "objectives 'milliseconds' are neither mae nor"),
        ({"epochs": -1}, "epochs must be 1 or more, got -1"),
    ],
)
def test_a_bad_plan_is_named(change, message):
    plan = StudyPlan("s", "j", "graph", Experiment())
    with pytest.raises(ValueError, match=message):
        replace(plan, **change)


# --- by mlflow run


def tuned(store, **parameters):
    """Start a study of trees in a process; a trial takes seconds."""
    folder, environment = store
    options = {"model_family": "composition", "storage": folder / "studies.journal"} | parameters
    command = command_of("tune", **options)
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)


def workers_of(process):
    """The processes that work on trials, below one."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "tracking.tuning.trials" in child.cmdline() else []
    return found


def any_lost(board):
    return any("lost" in trial.user_attrs for trial in board.trials())


def wait_for(found, seconds=150):
    """What ``found`` returns, once it is something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if result := found():
            return result
        time.sleep(0.1)
    raise TimeoutError


def test_a_killed_worker_and_a_killed_study_lose_nothing(store, tmp_path):
    """Of two workers on PostgreSQL one is killed, then all; the same command carries it on.

    Given once more, meanwhile, it helps.
    """
    skip_without()
    with postgres(tmp_path / "postgres") as url:
        options = {"study": "killed", "trials": 8, "workers": 2, "storage": url}
        board = StudyPlan("killed", url, "composition", Experiment()).board()
        first = tuned(store, **options)
        wait_for(lambda: len(workers_of(first)) == 2)

        def one_is_lost():
            for trial in board.trials(TrialState.RUNNING):
                if WORKER in trial.user_attrs and not any_lost(board):
                    with suppress(ProcessLookupError):
                        os.kill(trial.user_attrs[WORKER]["pid"], signal.SIGKILL)
                    return any_lost(board)
            return any_lost(board)

        wait_for(one_is_lost)
        wait_for(lambda: board.trials(TrialState.RUNNING))
        for process in [*psutil.Process(first.pid).children(recursive=True), first]:
            os.kill(process.pid, signal.SIGKILL)
        first.wait()
        wait_for(lambda: not board.leader())  # a killed process takes its time to go
        begun = board.run
        second = tuned(store, **options)
        wait_for(board.leader)
        helper = tuned(store, **options)
        said, helped = (process.communicate()[0] for process in (second, helper))
        assert second.returncode == helper.returncode == 0, said[-3000:] + helped[-3000:]
        found = board.trials()
        board.storage.remove_session()
    assert f"Study killed, run {begun}: " in said
    assert f"leads this study, run {begun}: working with it" in helped
    lost = [trial for trial in found if "lost" in trial.user_attrs]
    assert [t.state for t in found if t not in lost] == [TrialState.COMPLETE] * 8
    again = [trial.user_attrs["again"] for trial in found if "again" in trial.user_attrs]
    assert sorted(again) == [trial.number for trial in lost]
    assert 1 <= len(lost) <= 6

    run = mlflow.get_run(begun)
    assert run.info.status == "FINISHED"
    assert "default" in run.data.tags["mlflow.note.content"]
    client = mlflow.MlflowClient()
    names = {artifact.path for artifact in client.list_artifacts(begun)}
    assert {"best.json", "study.html", "trials.csv", "default_against_tuned.csv"} <= names
    finished = [r for r in children(begun) if r.info.status == "FINISHED"]
    roles = [r.data.tags.get("role") for r in finished]
    assert sorted(filter(None, roles)) == ["default", "tuned"]
    assert roles.count(None) == 8
    assert {r.info.status for r in children(begun)} <= {"FINISHED", "KILLED"}
    best = json.loads(mlflow.artifacts.load_text(f"runs:/{begun}/best.json"))
    tuned_run = next(r for r in finished if r.data.tags.get("role") == "tuned")
    assert best["model_family"] == "composition"
    for name, value in best["settings"].items():
        assert tuned_run.data.params[name] == str(value)
    assert "registry.txt" in {a.path for a in client.list_artifacts(tuned_run.info.run_id)}
    assert runs.is_unfinished(begun) is False
