"""A study from the first trial to the models that came of it."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import optuna
from mlflow.entities import RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from tqdm.auto import tqdm

from supervision.experiment.settings_file import write_settings
from supervision.models.weights import get_weights
from supervision.runtime.lock import TrainingLock
from tracking import runs
from tracking.tuning.retrain import ASKED, retrain_default_and_best
from tracking.tuning.study import FAILURE, SILENT, WORKER, LostTrial, TrialQueue, Worker
from tracking.tuning.study_page import BEST, publish, told
from tracking.tuning.trials import NETWORKS, NUMBER, SETTLED, STATE, StudyPlan
from tracking.tuning.worker_pool import WorkerPool

PLAN = "plan"  # an attribute of a study: what may not change when it is carried on
OUTAGE = 600  # seconds without the storage, after which the study is left


def tune(plan: StudyPlan, *, trials: int, workers: int, retrain: bool) -> None:
    """Work a study off with others who do, then sum it up and train by what was best.

    Where another process leads it, here or on another machine, work with it and leave the rest to
    it. Raises ValueError where the study is there and is another one, WeightsError where its
    weights cannot be had here.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if len(plan.objectives) > 1 and workers > 1:
        raise ValueError(
            f"objectives={','.join(plan.objectives)} measures time, which {workers} workers would "
            "take from each other: give workers=1."
        )
    board = plan.board()
    plan = replace(plan, weights=_weights(board, plan))
    _require_same(board, plan)
    mlflow.set_tags({"study": plan.study, "model_family": f"study of {plan.model_family}"})
    leader = board.stand()
    if leader:
        _help(leader, board, plan, workers)
        return
    if board.run and runs.is_there(board.run):
        runs.resume_run(board.run)
    runs.log_params(_params(plan))
    with board.lead(runs.run_id()):
        board.want(trials, [plan.defaults()])
        print(_introduction(plan, board), flush=True)
        with _machine(plan, claimed=False), _crew(plan, workers, runs.run_id()) as crew:
            _attend(board, crew, plan, leading=True)
        _sum_up(plan, board, retrain)


def _help(leader: Worker, board: TrialQueue, plan: StudyPlan, workers: int) -> None:
    """Work on trials of a study that another process leads."""
    until = time.monotonic() + SILENT
    while not (board.run and runs.is_unfinished(board.run)):  # it has just begun to lead
        if time.monotonic() > until:
            raise ValueError(f"{leader} leads this study, but not in a run of this tracking store.")
        time.sleep(1)
    runs.mark_as_helper(board.run, "helps")
    print(
        f"{leader} leads this study, run {board.run}: working with it, until none of its "
        f"{board.wanted()} trials waits.",
        flush=True,
    )
    with _machine(plan, claimed=leader.here), _crew(plan, workers, board.run) as crew:
        _attend(board, crew, plan, leading=False)
    print(
        f"No trial waits any more. The leader sums the study up, in run {board.run}; should it be "
        "gone, give the same command again.",
        flush=True,
    )


def _introduction(plan: StudyPlan, board: TrialQueue) -> str:
    """Which study begins, or goes on, and where it is kept."""
    done, wanted = len(board.counted()), board.wanted()
    lines = [
        f"Study {plan.study}, run {runs.run_id()}: {done} of {wanted} trials done, of "
        f"{plan.model_family} on {plan.experiment.dataset}, {plan.experiment.split} split."
    ]
    if done > wanted:
        lines.append(f"It has more than the {wanted} that are wanted: none is added, none dropped.")
    if plan.pruner != "none" and not plan.prunes:
        several = len(plan.objectives) > 1
        why = "Optuna cannot for several objectives" if several else "trees grow in one go"
        lines.append(f"No trial is pruned: {why}.")
    return "\n".join(lines)


def _weights(board: TrialQueue, plan: StudyPlan) -> str:
    """Those that all of the study begin from, whatever ``auto`` would take on this machine."""
    if plan.model_family not in NETWORKS:
        return plan.weights
    settled = board.study.user_attrs.get(PLAN, {}).get("weights", "auto")
    wanted = settled if plan.weights == "auto" else plan.weights
    found = get_weights(wanted, plan.model_family)
    return found.name if wanted == "auto" else wanted


def _params(plan: StudyPlan) -> dict[str, Any]:
    """What the study is of; not where its trials are kept, which may hold a password."""
    told = {name: getattr(plan.experiment, name) for name in ASKED}
    return told | {
        "model_family": plan.model_family,
        "weights": plan.weights,
        "epochs": plan.epochs or "auto",
        "objectives": ",".join(plan.objectives),
        "pruner": plan.pruner,
    }


def _require_same(board: TrialQueue, plan: StudyPlan) -> None:
    """A study is of one model_family, on one data set, by one measure."""
    own = {name: str(value) for name, value in _params(plan).items() if name != "data"}
    known = board.study.user_attrs.get(PLAN)
    if known is None:
        board.study.set_user_attr(PLAN, own)
        return
    for name, value in own.items():
        if known.get(name) != value:
            raise ValueError(
                f"Study {plan.study} has {name}={known.get(name)}, not {value}: choose another "
                "study=NAME, or carry this one on with its own settings."
            )


@contextmanager
def _machine(plan: StudyPlan, *, claimed: bool) -> Iterator[None]:
    """Networks train on this machine, and that is to be known; who leads may have said so."""
    with TrainingLock(runs.run_id()) as lock:
        if plan.model_family in NETWORKS:
            lock.lock_machine(parallel=claimed or plan.experiment.parallel)
        yield


@contextmanager
def _crew(plan: StudyPlan, size: int, run: str) -> Iterator[WorkerPool]:
    """Workers whose runs are below this one; what they said becomes artifacts of the active run."""
    tags = {MLFLOW_PARENT_RUN_ID: run, "study": plan.study, "model_family": plan.model_family}
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "plan.json"
        plan.write(path)
        try:
            with WorkerPool(path, size, tags, runs.log_note) as crew:
                yield crew
        finally:
            for log in sorted(Path(room).glob("worker-*.txt")):
                mlflow.log_artifact(str(log), "workers")


def _attend(board: TrialQueue, crew: WorkerPool, plan: StudyPlan, *, leading: bool) -> None:
    """Look after the workers until nothing is left to do.

    Who leads waits for others' trials, too, and alone says which of them are lost: so none waits
    again twice. A storage that does not answer is asked again for a while: workers may go on.
    """
    answered = time.monotonic()
    with _Progress(board, plan) as progress:
        while True:
            try:
                for lost in board.recover() if leading else ():
                    _bury(lost)
                progress.tell()
                waiting = 0 if plan.over else board.left()
                ended = plan.over or len(board.counted()) >= board.wanted() or not leading
                running = leading and board.trials(TrialState.RUNNING)
                if ended and not waiting and not running and not crew.working:
                    return
                begun, settled = _workers(board, crew)
                answered = time.monotonic()
            except StorageInternalError:
                if time.monotonic() - answered > OUTAGE:
                    raise
            else:
                crew.tend(waiting=waiting, begun=begun, settled=settled)
            time.sleep(0.5)


def _bury(lost: LostTrial) -> None:
    """Say what becomes of a lost trial, and end its run, which nobody else does."""
    then = "it waits again" if lost.again else "it is not tried again"
    runs.log_note(f"Trial {lost.number} was lost with its worker; {then}.")
    left = mlflow.search_runs(
        filter_string=(
            f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{runs.run_id()}' and "
            f"tags.{NUMBER} = '{lost.number}' and attributes.status = 'RUNNING'"
        ),
        search_all_experiments=True,
        output_format="list",
    )
    for run in left:
        client = mlflow.MlflowClient()
        client.set_tag(run.info.run_id, STATE, "lost")
        client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _workers(board: TrialQueue, crew: WorkerPool) -> tuple[set[int], set[int]]:
    """The process ids of the crew's that have begun a trial, and of those that know its size."""
    begun, settled = set(), set()
    for trial in board.trials():
        worker = Worker(**trial.user_attrs[WORKER]) if WORKER in trial.user_attrs else None
        if worker and worker.here and _seconds(trial.datetime_start) > crew.began:
            begun.add(worker.pid)
            if SETTLED in trial.user_attrs:
                settled.add(worker.pid)
    return begun, settled


class _Progress(ExitStack):
    """A line for each trial that ends, and a bar where a user looks on."""

    def __init__(self, board: TrialQueue, plan: StudyPlan) -> None:
        super().__init__()
        self.board, self.plan, self.began = board, plan, time.monotonic()
        self.told = {trial.number for trial in board.counted()}
        self.before = len(self.told)
        bar = tqdm(total=board.wanted(), initial=self.before, unit="trial", disable=None)
        self.bar = self.enter_context(bar)

    def tell(self) -> None:
        """Of the trials that have ended since the last look."""
        ended = self.board.counted()
        for trial in ended:
            if trial.number not in self.told:
                self.told.add(trial.number)
                best = best_of([t for t in ended if t.number in self.told])
                so_far = f"; best {best.values[0]:.3f} K, trial {best.number}" if best else ""
                self.bar.write(f"{_outcome(trial)}{so_far}{self._left()}\n  {told(trial.params)}")
                self.bar.update()

    def _left(self) -> str:
        left = self.board.wanted() - len(self.told)
        each = (time.monotonic() - self.began) / (len(self.told) - self.before)
        if left <= 0:
            return ""
        time_left = (self.plan.until - time.time()) if self.plan.until else math.inf
        if each * left > time_left:
            return f"; {left} left, time is up in {max(0, time_left) / 60:.0f} min"
        return f"; {left} left, {each * left / 60:.0f} min"


def _seconds(moment: datetime | None) -> float:
    assert moment is not None, "it has begun"
    return moment.timestamp()


def _outcome(trial: FrozenTrial) -> str:
    value = f" {trial.values[0]:.3f} K" if trial.values else ""
    why = f": {trial.user_attrs[FAILURE]}" if FAILURE in trial.user_attrs else ""
    return f"Trial {trial.number} {trial.state.name.lower()}{value}{why}"


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The complete one with the lowest MAE."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return min(complete, key=lambda t: t.values[0], default=None)


def _sum_up(plan: StudyPlan, board: TrialQueue, retrain: bool) -> None:
    """The best settings as a file, what mattered, and default against tuned."""
    best = best_of(board.counted())
    if best is None:
        why = "time was up" if plan.over and not board.counted() else "their runs say why"
        raise ValueError(f"No trial of study {plan.study} came to its end: {why}.")
    mlflow.log_metrics({"best_val_mae": best.values[0], "best_trial": best.number})
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / BEST
        write_settings(path, plan.model_family, best.params)
        mlflow.log_artifact(str(path))
        print(f"Best: trial {best.number}, {best.values[0]:.3f} K: {told(best.params)}", flush=True)
        trained = retrain_default_and_best(plan, best.params, path) if retrain else {}
    publish(plan, board, best, trained)
