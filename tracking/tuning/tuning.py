"""Runs a study: its trials, then the retraining of the best settings and the report."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import optuna
from mlflow.entities import Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from tqdm.auto import tqdm

from supervision.experiment.settings_file import write_settings
from supervision.experiment.spec import Experiment
from supervision.models.weights import get_weights
from supervision.runtime.lock import TrainingLock
from supervision.runtime.options import options_of
from tracking import runs
from tracking.processes import Worker
from tracking.tuning.retrain import EXPERIMENT_OPTIONS, retrain_default_and_best
from tracking.tuning.study_page import BEST_FILE, format_settings, publish
from tracking.tuning.trial_queue import (
    FAILURE,
    LOST_AFTER_SECONDS,
    RUN,
    WORKER,
    LostTrial,
    TrialQueue,
)
from tracking.tuning.trials import MEASURED, TRIAL_NUMBER_TAG, TRIAL_STATE_TAG, StudyPlan
from tracking.tuning.worker_pool import WorkerPool

OF_NO_STUDY_BEFORE = ("apart", "extra", "extra_weights")  # options that older studies do not have
PLAN = "plan"  # attribute of a study: the options that must stay the same when it is resumed
OUTAGE_SECONDS = 600  # after so long without an answer of the storage, the study ends
POLL_SECONDS = 0.5
# of the run of a trial that ended in this state
RUN_STATUS = {TrialState.COMPLETE: RunStatus.FINISHED, TrialState.PRUNED: RunStatus.KILLED}


def tune(plan: StudyPlan, *, trials: int, workers: int, retrain: bool) -> None:
    """Run or resume a study of ``trials`` trials with ``workers`` processes on this machine.

    The first process becomes the leader. It waits for all trials, trains the default and the best
    settings (``retrain``) and reports the study. Any further process, here or on another machine,
    helps with the trials.

    Raises ValueError if the study exists with other options, WeightsError if its pretrained
    weights are unavailable here.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if len(plan.objectives) > 1 and workers > 1:
        raise ValueError(
            f"objectives={','.join(plan.objectives)} measures time, and {workers} workers would "
            "slow each other down: give workers=1."
        )
    queue = plan.open_queue()
    plan = replace(plan, weights=_weights(queue, plan))
    _require_same(queue, plan)
    mlflow.set_tags({"study": plan.study, "model_family": f"study of {plan.model_family}"})
    leader = queue.elect_leader()
    if leader:
        _help(leader, queue, plan, workers)
        return
    if queue.run and runs.is_there(queue.run):
        runs.resume_run(queue.run)
    runs.log_params(_params(plan))
    with queue.lead(runs.run_id()):
        queue.enqueue(trials, [plan.defaults()])
        print(_introduction(plan, queue), flush=True)
        with (
            _training_lock(plan, parallel=plan.experiment.parallel),
            _worker_pool(plan, workers, runs.run_id()) as pool,
        ):
            _run_workers(queue, pool, plan, leading=True)
        _restore_runs(queue)
        _report(plan, queue, retrain)


def _help(leader: Worker, queue: TrialQueue, plan: StudyPlan, workers: int) -> None:
    """Run trials of a study that another process leads."""
    deadline = time.monotonic() + LOST_AFTER_SECONDS
    while not (queue.run and runs.is_unfinished(queue.run)):  # a new leader has no run yet
        if time.monotonic() > deadline:
            raise ValueError(
                f"{leader} leads this study, but its run is not in this tracking store: set "
                "MLFLOW_TRACKING_URI to the leader's store."
            )
        time.sleep(1)
    runs.mark_as_helper(queue.run, "helps")
    print(
        f"{leader} leads this study, run {queue.run}. This process runs trials of it until none "
        f"of its {queue.target_count()} trials waits.",
        flush=True,
    )
    with (
        _training_lock(plan, parallel=leader.is_local or plan.experiment.parallel),
        _worker_pool(plan, workers, queue.run) as pool,
    ):
        _run_workers(queue, pool, plan, leading=False)
    print(
        f"No trial waits. The leader reports the study in run {queue.run}. If the leader is gone, "
        "run the same command again.",
        flush=True,
    )


def _introduction(plan: StudyPlan, queue: TrialQueue) -> str:
    """The study, its progress, and why no trial is pruned if ``pruner`` has no effect."""
    ended, target = len(queue.ended()), queue.target_count()
    lines = [
        f"Study {plan.study}, run {runs.run_id()}: {ended} of {target} trials done, of "
        f"{plan.model_family} on {plan.experiment.dataset}, {plan.experiment.split} split."
    ]
    if ended > target:
        lines.append(f"The study has more than {target} trials: none is added, none is removed.")
    if plan.pruner != "none" and not plan.prunes:
        several = len(plan.objectives) > 1
        reason = (
            "Optuna cannot prune with several objectives"
            if several
            else f"a {plan.model_family} model is not trained in epochs"
        )
        lines.append(f"No trial is pruned: {reason}.")
    return "\n".join(lines)


def _weights(queue: TrialQueue, plan: StudyPlan) -> str:
    """The weights that all trials start from: ``auto`` means those that the study began with."""
    if not plan.family.has_epochs:
        return plan.weights
    stored = queue.study.user_attrs.get(PLAN, {}).get("weights", "auto")
    wanted = stored if plan.weights == "auto" else plan.weights
    fetched = get_weights(wanted, plan.model_family)
    return fetched.name if wanted == "auto" else wanted


def _params(plan: StudyPlan) -> dict[str, Any]:
    """The study's options to log. ``storage`` is not among them: it may contain a password."""
    options = {name: getattr(plan.experiment, name) for name in EXPERIMENT_OPTIONS}
    return options | {
        "model_family": plan.model_family,
        "weights": plan.weights,
        "epochs": plan.epochs or "auto",
        "objectives": ",".join(plan.objectives),
        "pruner": plan.pruner,
    }


def _require_same(queue: TrialQueue, plan: StudyPlan) -> None:
    """Raise ValueError if the study began with other options; store them if it is new."""
    local = ("data", "extra_data")  # paths of this machine
    options = {name: str(value) for name, value in _params(plan).items() if name not in local}
    stored = queue.study.user_attrs.get(PLAN)
    if stored is None:
        queue.study.set_user_attr(PLAN, options)
        return
    if "pipeline" in stored:  # the key of earlier versions
        stored = {"model_family": stored["pipeline"]} | stored
    added = {o.name: str(o.default) for o in options_of(Experiment) if o.name in OF_NO_STUDY_BEFORE}
    stored = added | stored
    for name, value in options.items():
        if stored.get(name) != value:
            raise ValueError(
                f"Study {plan.study} has {name}={stored.get(name)}, not {value}: choose another "
                "study=NAME, or resume this one with its own options."
            )


@contextmanager
def _training_lock(plan: StudyPlan, *, parallel: bool) -> Iterator[None]:
    """Lock this machine for training, for model families that train networks."""
    with TrainingLock(runs.run_id()) as lock:
        if plan.family.has_epochs:
            lock.lock_machine(parallel=parallel)
        yield


@contextmanager
def _worker_pool(plan: StudyPlan, size: int, run: str) -> Iterator[WorkerPool]:
    """Workers whose runs are below ``run``; their output becomes artifacts of the active run."""
    tags = {MLFLOW_PARENT_RUN_ID: run, "study": plan.study, "model_family": plan.model_family}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        plan.write(path)
        try:
            with WorkerPool(path, size, tags, runs.log_note) as pool:
                yield pool
        finally:
            for log in sorted(Path(folder).glob("worker-*.txt")):
                mlflow.log_artifact(str(log), "workers")


def _run_workers(queue: TrialQueue, pool: WorkerPool, plan: StudyPlan, *, leading: bool) -> None:
    """Start and stop workers until no trial is left to run.

    The leader waits for the trials of helpers, too. Only the leader marks trials as lost, so that
    none is enqueued twice. If the storage does not answer, it is asked again for OUTAGE_SECONDS:
    the workers may still be training.
    """
    last_answer = time.monotonic()
    with _Progress(queue, plan) as progress:
        while True:
            try:
                for lost in queue.recover() if leading else ():
                    _record_lost(lost)
                progress.update()
                waiting = 0 if plan.deadline_passed else queue.remaining()
                enough = (
                    plan.deadline_passed
                    or len(queue.ended()) >= queue.target_count()
                    or not leading
                )
                running = leading and queue.trials(TrialState.RUNNING)
                if enough and not waiting and not running and not pool.running:
                    return
                begun, measured = _worker_states(queue, pool)
                last_answer = time.monotonic()
            except StorageInternalError:
                if time.monotonic() - last_answer > OUTAGE_SECONDS:
                    raise
            else:
                pool.update(waiting=waiting, begun=begun, measured=measured)
            time.sleep(POLL_SECONDS)


def _record_lost(lost: LostTrial) -> None:
    """Log that a trial was lost, and end its MLflow run, which its worker could not end."""
    outcome = "it is enqueued again" if lost.retried else "it is not run again"
    runs.log_note(f"Trial {lost.number} was lost because its worker is gone; {outcome}.")
    of_trial = f"tags.{TRIAL_NUMBER_TAG} = '{lost.number}' and attributes.status = 'RUNNING'"
    for run in _runs_of_study(of_trial):
        client = mlflow.MlflowClient()
        client.set_tag(run.info.run_id, TRIAL_STATE_TAG, "lost")
        client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _restore_runs(queue: TrialQueue) -> None:
    """End the runs of ended trials whose worker was killed after the trial, before its run, ended.

    Such a run lacks nothing else: all metrics are logged before its trial ends.
    """
    client = mlflow.MlflowClient()
    ended = {trial.user_attrs.get(RUN): trial for trial in queue.trials(*RUN_STATUS)}
    for run in _runs_of_study("attributes.status != 'FINISHED'"):
        trial, id, tags = ended.get(run.info.run_id), run.info.run_id, run.data.tags
        if trial is None:
            continue
        state, status = trial.state.name.lower(), RunStatus.to_string(RUN_STATUS[trial.state])
        if (tags.get(TRIAL_STATE_TAG), run.info.status) == (state, status):
            continue
        client.set_tag(id, TRIAL_STATE_TAG, state)
        if "failure" in tags:  # a later command has found that the process is gone
            client.delete_tag(id, "failure")
        assert trial.duration is not None, "the trial has ended"
        milliseconds = round(1000 * trial.duration.total_seconds())
        client.set_terminated(id, status, end_time=run.info.start_time + milliseconds)


def _runs_of_study(condition: str) -> list[Run]:
    """The runs below the active run that meet a condition."""
    below = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{runs.run_id()}'"
    return mlflow.search_runs(
        filter_string=f"{below} and {condition}",
        search_all_experiments=True,
        output_format="list",
    )


def _worker_states(queue: TrialQueue, pool: WorkerPool) -> tuple[set[int], set[int]]:
    """Ids of the pool's processes that have begun a trial, and of those that finished an epoch."""
    begun, measured = set(), set()
    for trial in queue.trials():
        worker = Worker(**trial.user_attrs[WORKER]) if WORKER in trial.user_attrs else None
        start = trial.datetime_start  # None where a database read it before the attributes
        if worker and worker.is_local and start and start.timestamp() > pool.began:
            begun.add(worker.pid)
            if MEASURED in trial.user_attrs:
                measured.add(worker.pid)
    return begun, measured


class _Progress(ExitStack):
    """Prints a line per trial that ends, and a progress bar on a terminal."""

    def __init__(self, queue: TrialQueue, plan: StudyPlan) -> None:
        super().__init__()
        self.queue, self.plan, self.began = queue, plan, time.monotonic()
        self.printed = {trial.number for trial in queue.ended()}
        self.before = len(self.printed)
        bar = tqdm(total=queue.target_count(), initial=self.before, unit="trial", disable=None)
        self.bar = self.enter_context(bar)

    def update(self) -> None:
        """Print the trials that have ended since the last call."""
        ended = self.queue.ended()
        for trial in ended:
            if trial.number not in self.printed:
                self.printed.add(trial.number)
                best = best_of([t for t in ended if t.number in self.printed])
                so_far = f"; best {best.values[0]:.3f} K, trial {best.number}" if best else ""
                settings = format_settings(trial.params)
                self.bar.write(f"{_outcome(trial)}{so_far}{self._remaining()}\n  {settings}")
                self.bar.update()

    def _remaining(self) -> str:
        """How many trials remain and for how long, at the mean time per trial so far."""
        count = self.queue.target_count() - len(self.printed)
        seconds_per_trial = (time.monotonic() - self.began) / (len(self.printed) - self.before)
        if count <= 0:
            return ""
        time_left = (self.plan.deadline - time.time()) if self.plan.deadline else math.inf
        if seconds_per_trial * count > time_left:
            return f"; {count} left, timeout in {max(0, time_left) / 60:.0f} min"
        return f"; {count} left, {seconds_per_trial * count / 60:.0f} min"


def _outcome(trial: FrozenTrial) -> str:
    value = f" {trial.values[0]:.3f} K" if trial.values else ""
    reason = f": {trial.user_attrs[FAILURE]}" if FAILURE in trial.user_attrs else ""
    return f"Trial {trial.number} {trial.state.name.lower()}{value}{reason}"


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial with the lowest MAE; None if no trial is complete."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return min(complete, key=lambda t: t.values[0], default=None)


def _report(plan: StudyPlan, queue: TrialQueue, retrain: bool) -> None:
    """Log the best settings as a file, retrain, and publish the results of the study."""
    best = best_of(queue.ended())
    if best is None:
        timed_out = plan.deadline_passed and not queue.ended()
        reason = "the timeout was over" if timed_out else "see the failure tags of their runs"
        raise ValueError(f"No trial of study {plan.study} is complete: {reason}.")
    mlflow.log_metrics({"best_val_mae": best.values[0], "best_trial": best.number})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / BEST_FILE
        write_settings(path, plan.model_family, best.params)
        mlflow.log_artifact(str(path))
        print(
            f"Best: trial {best.number}, {best.values[0]:.3f} K: {format_settings(best.params)}",
            flush=True,
        )
        trained = retrain_default_and_best(plan, best.params, path) if retrain else {}
    publish(plan, queue, best, trained)
