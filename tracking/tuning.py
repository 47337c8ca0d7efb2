"""A study from the first trial to the models that came of it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mlflow
import optuna
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.trial import FrozenTrial, TrialState
from tqdm.auto import tqdm

from supervision.alone import Claims
from supervision.settings import write_settings
from tracking import runs
from tracking.crew import ROOT, Crew
from tracking.study import WORKER, Board
from tracking.study_page import publish
from tracking.trials import SETTLED, Plan

BEST = "best.json"
TRAINED_BY = {
    "vision": "train_dino",
    "graph": "train_alignn",
    "composition": "train_composition",
}
PLAN = "plan"  # an attribute of a study: what may not change when it is carried on
ASKED = ("dataset", "data", "split", "limit", "seed", "allow_loss")  # options of train_*


def tune(plan: Plan, *, trials: int, workers: int, retrain: bool) -> None:
    """Work a study off with others who do, then sum it up and train by what was best.

    Where another process leads it, here or on another machine, work with it and leave the rest to
    it. Raises ValueError where the study is there and is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    board = plan.board()
    _require_same(board, plan)
    leader = board.leader()
    mlflow.set_tags({"study": plan.study, "pipeline": f"study of {plan.pipeline}"})
    if leader:
        mlflow.set_tag("helps", board.run)
        print(f"{leader} leads this study, run {board.run}: working with it.", flush=True)
        with _machine(plan), _crew(plan, workers, board.run) as crew:
            _attend(board, crew, plan, until_all_end=False)
        return
    if board.run and runs.is_unfinished(board.run):
        print(f"Carrying on study {plan.study} in run {board.run}.", flush=True)
        runs.carry_on(board.run)
    runs.log_params(_params(plan))
    with board.lead(runs.run_id()):
        board.want(trials, [plan.defaults()])
        with _machine(plan), _crew(plan, workers, runs.run_id()) as crew:
            _attend(board, crew, plan, until_all_end=True)
        _sum_up(plan, board, retrain)


def _params(plan: Plan) -> dict[str, Any]:
    """What the study is of; not where its trials are kept, which may hold a password."""
    told = {name: getattr(plan.experiment, name) for name in ASKED}
    return told | {
        "pipeline": plan.pipeline,
        "weights": plan.weights,
        "epochs": plan.epochs or "auto",
        "objectives": ",".join(plan.objectives),
        "pruner": plan.pruner,
    }


def _require_same(board: Board, plan: Plan) -> None:
    """A study is of one pipeline, on one data set, by one measure."""
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
def _machine(plan: Plan) -> Iterator[None]:
    """This machine trains, and that is to be known."""
    with Claims(runs.run_id()) as claims:
        claims.machine(parallel=plan.experiment.parallel)
        yield


@contextmanager
def _crew(plan: Plan, size: int, run: str) -> Iterator[Crew]:
    """Workers whose runs are below this one; what they said becomes artifacts of the active run."""
    tags = {MLFLOW_PARENT_RUN_ID: run, "study": plan.study, "pipeline": plan.pipeline}
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "plan.json"
        plan.write(path)
        try:
            with Crew(path, size, tags, runs.log_note) as crew:
                yield crew
        finally:
            for log in sorted(Path(room).glob("worker-*.txt")):
                mlflow.log_artifact(str(log), "workers")


def _attend(board: Board, crew: Crew, plan: Plan, *, until_all_end: bool) -> None:
    """Look after the workers until nothing is left to do."""
    with _Progress(board) as progress:
        while True:
            for lost in board.recover():
                runs.log_note(f"Trial {lost.number} was lost with its worker; it waits again.")
            waiting = 0 if plan.over else len(board.trials(TrialState.WAITING))
            running = board.trials(TrialState.RUNNING)
            progress.tell()
            if not waiting and not crew.working and not (running and until_all_end):
                return
            settled = {
                t.user_attrs[WORKER]["pid"] for t in board.trials() if SETTLED in t.user_attrs
            }
            crew.tend(waiting=waiting, settled=sum(w.pid in settled for w in crew.working))
            time.sleep(0.5)


class _Progress(ExitStack):
    """A line for each trial that ends, and a bar where a user looks on."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board, self.told, self.began = board, len(board.counted()), time.monotonic()
        self.before = self.told
        total = board.wanted()
        bar = tqdm(total=total, initial=self.told, unit="trial", disable=None)
        self.bar = self.enter_context(bar)

    def tell(self) -> None:
        """Of the trials that have ended since the last look."""
        ended = sorted(self.board.counted(), key=_end)
        for number, trial in enumerate(ended[self.told :], self.told + 1):
            best = best_of(ended[:number])
            so_far = f"; best {best.values[0]:.3f} K, trial {best.number}" if best else ""
            self.bar.write(f"{_outcome(trial)}{so_far}{self._left(number)}")
            self.bar.update()
        self.told = len(ended)

    def _left(self, number: int) -> str:
        left = self.board.wanted() - number
        each = (time.monotonic() - self.began) / (number - self.before)
        return f"; {left} trials left, {each * left / 60:.0f} min" if left else ""


def _end(trial: FrozenTrial) -> float:
    assert trial.datetime_complete is not None
    return trial.datetime_complete.timestamp()


def _outcome(trial: FrozenTrial) -> str:
    value = f" {trial.values[0]:.3f} K" if trial.values else ""
    why = f": {trial.user_attrs['failure']}" if "failure" in trial.user_attrs else ""
    return f"Trial {trial.number} {trial.state.name.lower()}{value}{why}"


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The complete one with the lowest MAE."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return min(complete, key=lambda t: t.values[0], default=None)


def _sum_up(plan: Plan, board: Board, retrain: bool) -> None:
    """The best settings as a file, what mattered, and default against tuned."""
    best = best_of(board.counted())
    if best is None:
        raise ValueError(f"No trial of study {plan.study} came to its end; their runs say why.")
    mlflow.log_metrics({"best_val_mae": best.values[0], "best_trial": best.number})
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / BEST
        write_settings(path, plan.pipeline, best.params)
        mlflow.log_artifact(str(path))
        print(f"Best: trial {best.number}, {best.values[0]:.3f} K, {best.params}", flush=True)
        trained = _train_both(plan, path) if retrain else {}
    publish(plan, board, best, trained)


def _train_both(plan: Plan, settings: Path) -> dict[str, str]:
    """The runs of what nobody chose and of what the study chose, by role."""
    return {"default": _train(plan, "default", ""), "tuned": _train(plan, "tuned", str(settings))}


def _train(plan: Plan, role: str, settings: str) -> str:
    """Train to the end by the command that a user would give; returns the run's id.

    What is finished is not trained again, what is unfinished is carried on.
    """
    done = _trained(role)
    if done:
        return done
    command = [sys.executable, "-m", f"entrypoints.{TRAINED_BY[plan.pipeline]}"]
    options: dict[str, Any] = {name: getattr(plan.experiment, name) for name in ASKED}
    if plan.pipeline != "composition":
        options |= {"weights": plan.weights, "device": plan.device}
        options |= {"parallel": str(plan.experiment.parallel).lower()}
    options |= {"config": settings, "register": str(role == "tuned").lower()}
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    print(f"Training: {role}.", flush=True)
    tags = {MLFLOW_PARENT_RUN_ID: runs.run_id(), "study": plan.study, "role": role}
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    environment = kept | {"MLFLOW_RUN_CONTEXT": json.dumps(tags)}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as child:
        try:
            child.wait()
        except BaseException:
            child.terminate()  # it writes down where it is
            raise
    if child.returncode:
        raise ChildProcessError(
            f"The training by the {role} settings ended with exit status {child.returncode}; the "
            "same command carries the study on from there."
        )
    return _trained(role)


def _trained(role: str) -> str:
    """The finished run below the active one that has this role; empty where there is none."""
    found = mlflow.search_runs(
        filter_string=(
            f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{runs.run_id()}' and tags.role = '{role}' "
            "and attributes.status = 'FINISHED'"
        ),
        search_all_experiments=True,
        output_format="list",
    )
    return str(found[0].info.run_id) if found else ""
