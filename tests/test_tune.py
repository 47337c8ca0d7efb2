"""Studies: their trials, their options, and a study that is killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import mlflow
import psutil
import pytest
from described import description_of
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
from postgres import postgres, skip_without
from projects import ROOT, command_of

from supervision.experiment.spec import Experiment
from supervision.models.families import default_configs, get_family
from supervision.models.graph.config import GraphConfig, GraphFitConfig
from supervision.models.vision.config import VisionConfig, VisionFitConfig
from supervision.training.callbacks import EpochRecord
from supervision.training.config import FitConfig
from tracking import runs
from tracking.dead_runs import PROCESS_GONE
from tracking.processes import Worker
from tracking.tuning import trials, tuning
from tracking.tuning.search_spaces import SPACES
from tracking.tuning.trial_queue import RUN, WORKER
from tracking.tuning.trials import OBJECTIVES, StudyPlan, run_trials

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(own_store, tmp_path):
    experiment = Experiment(dataset="classics", register=False)
    return StudyPlan("a study", str(tmp_path / "journal"), "composition", experiment)


def children(parent):
    """The runs below a run, in the order of their start."""
    return mlflow.search_runs(
        filter_string=f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}'",
        order_by=["attributes.start_time"],
        search_all_experiments=True,
        output_format="list",
    )


class FakePredictor:
    """Its MAE is the trial's number of trees, in each of three epochs."""

    def __init__(self, config):
        self.config = config

    def fit(self, train, val, *, callbacks, checkpoints):
        assert checkpoints is None
        record = EpochRecord(1, 0.0, self.config.trees, 0.0, 0.0, 0.0, 0.0, True)
        history = [replace(record, epoch=epoch) for epoch in range(1, 4)]
        for record in history:
            callbacks.epoch(record)
        return history


@pytest.fixture
def fake_family(monkeypatch):
    """Trials that take no time and have one setting, the number of trees; 13 is an error."""

    class ModelSetup:
        featurize = None

        def __init__(self, config):
            self.predictor = FakePredictor(config)

    def setup(_weights, _device, config, _fit_config=None):
        if config.trees == 13:
            raise RuntimeError("thirteen")
        return ModelSetup(config)

    class DataSplits:
        def part(self, name):
            assert name == "val", "a trial must not read test materials"
            return []

        def training(self):
            return []

    monkeypatch.setitem(SPACES, "composition", {"trees": IntDistribution(1, 99)})
    family = replace(get_family("composition"), setup=setup)
    monkeypatch.setattr(trials, "get_family", lambda name: family)
    monkeypatch.setattr(trials, "split_materials", lambda *_: DataSplits())


def test_a_failed_trial_is_recorded_and_the_next_trial_begins(plan, fake_family):
    queue = plan.open_queue()
    queue.enqueue(3, [{"trees": 13}, {"trees": 20}, {"trees": 10}])
    run_trials(plan, parent=os.getppid())
    assert [trial.state.name for trial in queue.trials()] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert queue.trials()[0].user_attrs["failure"] == "RuntimeError: thirteen"
    assert tuning.best_of(queue.ended()).number == 2
    found = mlflow.search_runs(
        order_by=["attributes.start_time"], search_all_experiments=True, output_format="list"
    )
    assert [run.info.run_name for run in found] == ["trial 0", "trial 1", "trial 2"]
    assert [run.info.status for run in found] == ["FAILED", "FINISHED", "FINISHED"]
    assert [r.data.tags["trial_state"] for r in found] == ["failed", "complete", "complete"]
    assert found[2].data.params == {"trees": "10"}
    assert found[2].data.metrics["mae"] == 10
    history = mlflow.MlflowClient().get_metric_history(found[2].info.run_id, "val_mae")
    assert [point.step for point in history] == [1, 2, 3]
    assert queue.trials()[2].user_attrs["run"] == found[2].info.run_id


@pytest.fixture
def epochs(monkeypatch):
    """Sets the number of epochs of a trial, as if the fake family was trained in epochs."""

    def set_epochs(count):
        family = trials.get_family("composition")
        defaults = [*default_configs(family, "classics", 42), FitConfig(epochs=count)]
        monkeypatch.setattr(trials, "default_configs", lambda *_: list(defaults))
        family = replace(family, configs=(*family.configs, FitConfig))
        monkeypatch.setattr(trials, "get_family", lambda name: family)

    return set_epochs


def test_a_trial_is_not_pruned_at_its_last_epoch(plan, fake_family, epochs):
    epochs(1)
    queue = plan.open_queue()
    queue.enqueue(6, [{"trees": n} for n in (10, 11, 12, 9, 14, 90)])
    run_trials(plan, parent=os.getppid())
    assert {trial.state for trial in queue.trials()} == {TrialState.COMPLETE}


def test_a_trial_that_is_worse_than_others_is_pruned_with_a_reason(plan, fake_family, epochs):
    epochs(3)
    assert plan.prunes
    queue = plan.open_queue()
    queue.enqueue(7, [{"trees": n} for n in (10, 11, 12, 9, 14, 90, 8)])
    run_trials(plan, parent=os.getppid())
    states = [trial.state for trial in queue.trials()]
    assert states == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED, TrialState.COMPLETE]
    run = mlflow.get_run(queue.trials()[5].user_attrs["run"])
    assert run.info.status == "KILLED"
    assert run.data.tags["trial_state"] == "pruned"
    assert "the best validation MAE by epoch 1 was 90.000 K" in run.data.tags["pruned_because"]
    description_of(run.info.run_id, "Trial 5 of study", "90.000 K", "not tested")


def test_the_head_alone_counts_as_the_best_epoch_when_trials_are_pruned(
    plan, fake_family, epochs, monkeypatch
):
    def fit(self, train, val, *, callbacks, checkpoints):
        first = EpochRecord(0, 0.0, self.config.trees, 0.0, 0.0, 0.0, 0.0, True)
        history = [first, *(replace(first, epoch=n, val_mae=50.0) for n in (1, 2))]
        for record in history:
            callbacks.epoch(record)
        return history

    epochs(2)
    monkeypatch.setattr(FakePredictor, "fit", fit)
    queue = plan.open_queue()
    queue.enqueue(7, [{"trees": n} for n in (10, 11, 12, 14, 15, 9, 40)])
    run_trials(plan, parent=os.getppid())
    assert [t.state.name for t in queue.trials()[5:]] == ["COMPLETE", "PRUNED"]
    assert queue.trials()[5].values == [9.0]


def test_with_two_objectives_no_trial_is_pruned(plan, fake_family, epochs, monkeypatch):
    epochs(3)
    monkeypatch.setattr(trials, "_milliseconds", lambda *_: 2.5)
    plan = replace(plan, objectives=OBJECTIVES)
    assert not plan.prunes
    queue = plan.open_queue()
    queue.enqueue(2, [{"trees": 10}, {"trees": 20}])
    run_trials(plan, parent=os.getppid())
    assert [trial.values for trial in queue.trials()] == [[10, 2.5], [20, 2.5]]


def test_no_trial_begins_after_the_deadline(plan, fake_family):
    queue = plan.open_queue()
    queue.enqueue(1)
    run_trials(replace(plan, deadline=time.time() - 1), parent=os.getppid())
    assert len(queue.trials(TrialState.WAITING)) == 1


def test_a_study_with_other_options_is_not_resumed(plan):
    tuning._require_same(plan.open_queue(), plan)
    tuning._require_same(plan.open_queue(), replace(plan, device="cuda"))
    other = replace(plan, experiment=replace(plan.experiment, split="family"))
    with pytest.raises(ValueError, match="has split=random, not family"):
        tuning._require_same(plan.open_queue(), other)


def test_an_unfinished_study_of_an_earlier_version_is_resumed(plan):
    """Its options name the model family ``pipeline``."""
    queue = plan.open_queue()
    stored = {name: str(value) for name, value in tuning._params(plan).items() if name != "data"}
    stored["pipeline"] = stored.pop("model_family")
    queue.study.set_user_attr(tuning.PLAN, stored)
    tuning._require_same(plan.open_queue(), plan)
    with pytest.raises(ValueError, match="has model_family=composition, not graph"):
        tuning._require_same(plan.open_queue(), replace(plan, model_family="graph"))


def test_all_trials_of_a_study_start_from_the_same_weights(plan, monkeypatch):
    resolved = {"auto": "alignn_ff"}

    def get_weights(name, _pipeline):
        return SimpleNamespace(name=resolved.get(name, name))

    monkeypatch.setattr(tuning, "get_weights", get_weights)
    plan = replace(plan, model_family="graph")
    queue = plan.open_queue()
    assert tuning._weights(queue, plan) == "alignn_ff"
    tuning._require_same(queue, replace(plan, weights="alignn_ff"))
    resolved["auto"] = "another"  # as on another machine
    assert tuning._weights(plan.open_queue(), plan) == "alignn_ff"
    chosen = replace(plan, weights="alignn_ff:file")
    assert tuning._weights(queue, chosen) == "alignn_ff:file"
    with pytest.raises(ValueError, match="has weights=alignn_ff, not alignn_ff:file"):
        tuning._require_same(queue, chosen)


def test_a_worker_without_the_data_fails_before_it_claims_a_trial(plan, fake_family, monkeypatch):
    def split_materials(*_):
        raise FileNotFoundError("no such archive")

    monkeypatch.setattr(trials, "split_materials", split_materials)
    queue = plan.open_queue()
    queue.enqueue(1)
    with pytest.raises(FileNotFoundError):
        run_trials(plan, parent=os.getppid())
    assert len(queue.trials(TrialState.WAITING)) == 1


def test_a_worker_continues_when_its_trial_was_marked_as_lost(plan, fake_family, monkeypatch):
    queue = plan.open_queue()
    queue.enqueue(2, [{"trees": 10}, {"trees": 20}])
    evaluate = trials.TrialRunner._evaluate

    def lose_and_evaluate(self, trial, values):
        if trial.number == 0:
            queue.study.tell(0, state=TrialState.FAIL)
        return evaluate(self, trial, values)

    monkeypatch.setattr(trials.TrialRunner, "_evaluate", lose_and_evaluate)
    run_trials(plan, parent=os.getppid())
    assert [trial.state.name for trial in queue.trials()] == ["FAIL", "COMPLETE"]


@pytest.mark.parametrize("model_family", list(SPACES))
def test_a_search_space_contains_the_default_settings(model_family):
    plan = StudyPlan("s", "j", model_family, Experiment())
    defaults = plan.defaults()
    assert set(defaults) == set(SPACES[model_family])
    for name, kind in SPACES[model_family].items():
        assert kind._contains(kind.to_internal_repr(defaults[name])), name


def test_the_plan_sets_the_epochs_of_a_trial():
    plan = StudyPlan("s", "j", "graph", Experiment(), epochs=3)
    assert plan.configs()[1].epochs == 3
    assert default_configs(get_family("graph"), "3dsc", 1) == [
        GraphConfig(seed=1),
        GraphFitConfig(
            epochs=200, patience=20, learning_rate=1e-5, head_rate=1e-4, schedule="plateau"
        ),
    ]
    assert default_configs(get_family("vision"), "3dsc", 42) == [VisionConfig(), VisionFitConfig()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_family": "audio"},
            "model_family 'audio' has no search space",
        ),
        ({"pruner": "scissors"}, "pruner 'scissors' is not one of median, hyperband, none"),
        ({"objectives": ("milliseconds",)}, "objectives 'milliseconds' are neither mae nor"),
        ({"epochs": -1}, "epochs must be 1 or more, got -1"),
    ],
)
def test_an_invalid_option_is_named(change, message):
    plan = StudyPlan("s", "j", "graph", Experiment())
    with pytest.raises(ValueError, match=message):
        replace(plan, **change)


# --- by mlflow run


def start_study(store, **parameters):
    """Start ``mlflow run`` of a study of composition models; a trial takes seconds."""
    folder, environment = store
    options = {"model_family": "composition", "storage": folder / "studies.journal"} | parameters
    command = command_of("tune", **options)
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)


def workers_of(process):
    """The worker processes that a process has started."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "tracking.tuning.trials" in child.cmdline() else []
    return found


def any_lost(queue):
    return any("lost" in trial.user_attrs for trial in queue.trials())


def wait_for(found, seconds=150):
    """What ``found`` returns, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.long
def test_a_study_completes_after_a_worker_and_then_all_processes_were_killed(store, tmp_path):
    """The same command resumes the study, and the same command in a second process helps."""
    skip_without()
    with postgres(tmp_path / "postgres") as url:
        options = {"study": "killed", "trials": 8, "workers": 2, "storage": url}
        queue = StudyPlan("killed", url, "composition", Experiment()).open_queue()
        first = start_study(store, **options)
        wait_for(lambda: len(workers_of(first)) == 2)

        def one_is_lost():
            for trial in queue.trials(TrialState.RUNNING):
                if WORKER in trial.user_attrs and not any_lost(queue):
                    with suppress(ProcessLookupError):
                        os.kill(trial.user_attrs[WORKER]["pid"], signal.SIGKILL)
                    return any_lost(queue)
            return any_lost(queue)

        wait_for(one_is_lost)
        wait_for(lambda: queue.trials(TrialState.RUNNING))
        for process in [*psutil.Process(first.pid).children(recursive=True), first]:
            os.kill(process.pid, signal.SIGKILL)
        first.wait()
        wait_for(lambda: not queue.leader())  # a killed process does not end at once
        begun = queue.run
        second = start_study(store, **options)
        wait_for(queue.leader)
        helper = start_study(store, **options)
        output, helper_output = (process.communicate()[0] for process in (second, helper))
        assert second.returncode == helper.returncode == 0, output[-3000:] + helper_output[-3000:]
        found = queue.trials()
        queue.storage.remove_session()
    assert f"Study killed, run {begun}: " in output
    assert f"leads this study, run {begun}. This process runs trials of it" in helper_output
    lost = [trial for trial in found if "lost" in trial.user_attrs]
    assert [t.state for t in found if t not in lost] == [TrialState.COMPLETE] * 8
    retried = [trial.user_attrs["again"] for trial in found if "again" in trial.user_attrs]
    assert sorted(retried) == [trial.number for trial in lost]
    assert 1 <= len(lost) <= 6

    run = mlflow.get_run(begun)
    assert run.info.status == "FINISHED"
    description_of(begun, "[tuned](", "[default](", "Test MAE", "study.html")
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


# The worker and its leader are killed between the end of a trial and the end of the trial's run.
KILLED_AFTER_TRIAL = """
import os, signal
import optuna
from tracking.tuning import trials
tell = optuna.Study.tell

def tell_and_die(*args, **options):
    tell(*args, **options)
    for process in (os.getppid(), os.getpid()):
        os.kill(process, signal.SIGKILL)

optuna.Study.tell = tell_and_die
trials.main()
"""
LEAD = """
import sys
from pathlib import Path
from tracking import runs
from tracking.tuning import tuning, worker_pool
from tracking.tuning.trials import StudyPlan
plan, worker = sys.argv[1:]
worker_pool.WORKER_COMMAND = (sys.executable, "-c", worker)
with runs.tracked_run("study"):
    tuning.tune(StudyPlan.read(Path(plan)), trials=1, workers=1, retrain=False)
"""


def test_the_run_of_a_complete_trial_is_finished_although_its_worker_was_killed(store, tmp_path):
    experiment = Experiment(dataset="classics", limit=24, register=False)
    plan = StudyPlan("cut", f"sqlite:///{tmp_path}/studies.db", "composition", experiment)
    plan.write(tmp_path / "plan.json")
    queue = plan.open_queue()
    command = [sys.executable, "-c", LEAD, str(tmp_path / "plan.json"), KILLED_AFTER_TRIAL]
    first = subprocess.run(command, cwd=ROOT, env=store[1], check=False)
    assert first.returncode == -signal.SIGKILL
    (trial,), (run,) = queue.ended(), children(queue.run)
    assert trial.state == TrialState.COMPLETE
    assert (run.info.status, run.data.tags["trial_state"]) == ("RUNNING", "running")
    wait_for(lambda: not queue.leader())  # a killed process does not end at once

    with runs.tracked_run("study, again"):
        tuning.tune(plan, trials=1, workers=1, retrain=False)
    assert len(queue.trials()) == 1
    (run,) = children(queue.run)
    assert (run.info.status, run.data.tags["trial_state"]) == ("FINISHED", "complete")
    assert run.data.metrics["mae"] == trial.values[0]
    seconds = (run.info.end_time - run.info.start_time) / 1000
    assert seconds == pytest.approx(trial.duration.total_seconds(), abs=0.01)
    assert mlflow.get_run(queue.run).info.status == "FINISHED"
    queue.storage.remove_session()


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED"])
def test_the_run_of_an_ended_trial_gets_the_status_that_its_worker_could_not_set(plan, state):
    queue = plan.open_queue()
    queue.enqueue(2)
    with runs.tracked_run("study"):
        client, below = mlflow.MlflowClient(), {MLFLOW_PARENT_RUN_ID: runs.run_id()}
        unended, lost = (client.create_run("0", tags=below).info.run_id for _ in range(2))
        for run in (unended, lost):
            trial = queue.claim()
            trial.set_user_attr(RUN, run)
            client.set_tag(run, "failure", PROCESS_GONE)
            client.set_terminated(run, "KILLED")
            ended = TrialState[state] if run == unended else TrialState.FAIL
            queue.study.tell(trial, 1.0 if ended == TrialState.COMPLETE else None, state=ended)
        tuning._restore_runs(queue)
    restored = client.get_run(unended)
    assert restored.info.status == ("FINISHED" if state == "COMPLETE" else "KILLED")
    assert restored.data.tags["trial_state"] == state.lower()
    assert "failure" not in restored.data.tags
    assert client.get_run(lost).data.tags["failure"] == PROCESS_GONE


@pytest.mark.long
def test_a_study_can_be_started_in_any_folder(tmp_path):
    """Parent and children use the same relative store and journal, and find the project's modules.

    The folder contains a module that must not hide the project's package of the same name.
    """
    (tmp_path / "tracking.py").write_text("raise ImportError('this module must not be imported')")
    hidden = ("MLFLOW_TRACKING_URI", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    start = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from entrypoints.tune import app; app()"
    )
    options = ["--model-family", "composition", "--trials", "1", "--storage", "studies.journal"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", start, *options],
        cwd=tmp_path, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [run.info.status for run in found] == ["FINISHED"] * 3
    (study,) = (run for run in found if MLFLOW_PARENT_RUN_ID not in run.data.tags)
    below = [run for run in found if run is not study]
    assert {run.data.tags[MLFLOW_PARENT_RUN_ID] for run in below} == {study.info.run_id}
    assert sorted(run.data.tags.get("role", "trial") for run in below) == ["default", "trial"]
    assert (tmp_path / "studies.journal").is_file()


def test_a_trial_whose_start_a_database_does_not_give_yet_is_not_counted():
    """PostgreSQL may read a trial before its worker claims it, and its attributes after."""
    started = datetime.now() + timedelta(seconds=5)
    attributes = {WORKER: vars(Worker.current())}
    trials = [
        SimpleNamespace(user_attrs=attributes, datetime_start=None),
        SimpleNamespace(user_attrs={}, datetime_start=started),
    ]
    queue, pool = SimpleNamespace(trials=lambda: trials), SimpleNamespace(began=time.time())
    assert tuning._worker_states(queue, pool) == (set(), set())
    trials.append(SimpleNamespace(user_attrs=attributes, datetime_start=started))
    assert tuning._worker_states(queue, pool) == ({os.getpid()}, set())
