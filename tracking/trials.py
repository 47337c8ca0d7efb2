"""A process that works on a study's trials: ``python -m tracking.trials PLAN.json``.

Each trial is a run below the study's own. It learns from the training materials, is judged on the
validation materials, and never sees a test material.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import optuna
from mlflow.entities import RunStatus
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import Trial, TrialState

from supervision.crystals import Crystal
from supervision.experiment import Experiment, Prepared, split_materials
from supervision.network import NetworkPredictor
from supervision.paradigms import build, default_configs
from supervision.road import Pipeline
from supervision.settings import configured
from supervision.training import EpochRecord, Listener
from tracking import runs
from tracking.spaces import SPACES
from tracking.study import Board, guard_of, open_storage, sample
from tracking.timing import mean_milliseconds

OBJECTIVES = ("mae", "milliseconds")
PRUNERS = ("median", "hyperband", "none")
TIMED = 10  # crystals
RUN, STATE, SETTLED = "run", "trial_state", "settled"


@dataclass(frozen=True)
class Plan:
    """What a study is of, and what its workers need to know.

    Attributes:
        epochs: of a trial; 0: those of a training where nothing is chosen.
        objectives: what is to be small: of the validation materials the MAE in kelvin, and of a
            crystal, from its CIF text to Tc, the milliseconds.
        until: seconds since 1970 after which no trial is begun; 0: never.
    """

    study: str
    storage: str
    pipeline: str
    experiment: Experiment
    weights: str = "auto"
    device: str = "auto"
    epochs: int = 0
    objectives: tuple[str, ...] = OBJECTIVES[:1]
    pruner: str = PRUNERS[0]
    until: float = 0.0

    def __post_init__(self) -> None:
        if self.pipeline not in SPACES:
            raise ValueError(f"pipeline '{self.pipeline}' is not one of {', '.join(SPACES)}.")
        if self.pruner not in PRUNERS:
            raise ValueError(f"pruner '{self.pruner}' is not one of {', '.join(PRUNERS)}.")
        if self.objectives not in (OBJECTIVES[:1], OBJECTIVES):
            raise ValueError(
                f"objectives '{','.join(self.objectives)}' are neither {OBJECTIVES[0]} nor "
                f"{','.join(OBJECTIVES)}."
            )
        if self.epochs < 0:
            raise ValueError(f"epochs must be 1 or more, got {self.epochs}.")

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return bool(self.until) and time.time() > self.until

    @property
    def prunes(self) -> bool:
        """Whether trials may be broken off; with several objectives Optuna cannot."""
        return len(self.objectives) == 1 and self.pruner != "none" and self.pipeline in NETWORKS

    def configs(self) -> list[Any]:
        """What a trial's values are put into."""
        found = default_configs(self.pipeline, self.experiment.dataset, self.experiment.seed)
        if self.epochs and len(found) > 1:
            found[1] = replace(found[1], epochs=self.epochs)
        return found

    def defaults(self) -> dict[str, Any]:
        """The values of the first trial: those of a training where nothing is chosen."""
        known = {k: v for config in self.configs() for k, v in asdict(config).items()}
        return {name: known[name] for name in SPACES[self.pipeline]}

    def board(self) -> Board:
        """The study, made where it is not there yet."""
        storage = open_storage(self.storage)
        study = optuna.create_study(
            study_name=self.study,
            storage=storage,
            directions=["minimize"] * len(self.objectives),
            pruner=self._pruner(),
            load_if_exists=True,
        )
        return Board(study, storage, self._sampler, guard_of(self.storage))

    def _pruner(self) -> BasePruner:
        if not self.prunes:
            return NopPruner()
        return MedianPruner() if self.pruner == "median" else HyperbandPruner()

    def _sampler(self, number: int) -> BaseSampler:
        """Each trial's own, so that its values hang on the seed and on what came before it."""
        seed = 1000 * self.experiment.seed + number
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def write(self, path: Path) -> None:
        """For ``read``, in another process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """What ``write`` wrote."""
        found = json.loads(path.read_text())
        found["experiment"] = Experiment(**found["experiment"])
        return cls(**found | {"objectives": tuple(found["objectives"])})


NETWORKS = ("vision", "graph")  # those that learn epoch by epoch


def main() -> None:
    """Work on trials until none waits, or time is up."""
    work(Plan.read(Path(sys.argv[1])))


def work(plan: Plan) -> None:
    """Claim trials one after the other, for as long as who started this process is there.

    A failed one is recorded, and the next one begins.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    board, desk, parent = plan.board(), Desk(plan), os.getppid()
    while os.getppid() == parent and not plan.over:
        trial = board.claim()
        if trial is None:
            return
        with board.pulse(trial):
            desk.do(board, trial)


class Desk:
    """Where a worker keeps what its trials share: the materials, their split, frozen features."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.prepared: Prepared | None = None
        self.known: dict[Any, Any] = {}

    def do(self, board: Board, trial: Trial) -> None:
        """Try the values that a trial is given, in a run of its own."""
        values = sample(trial, SPACES[self.plan.pipeline])
        print(f"Trial {trial.number}: {values}", flush=True)
        try:
            with runs.tracked_run(f"trial {trial.number}"):
                trial.set_user_attr(RUN, runs.run_id())
                runs.describe(values, {"trial": str(trial.number), STATE: "running"})
                try:
                    found = self._judge(trial, values)
                except optuna.TrialPruned as why:
                    mlflow.set_tags({STATE: "pruned", "pruned_because": str(why)})
                    mlflow.end_run(RunStatus.to_string(RunStatus.KILLED))
                    board.study.tell(trial, state=TrialState.PRUNED)
                else:
                    mlflow.log_metrics(found)
                    mlflow.set_tag(STATE, "complete")
                    board.study.tell(trial, [found[name] for name in self.plan.objectives])
        except Exception as error:  # whatever it is, the study goes on with the next trial
            print(f"Trial {trial.number} failed: {error}", flush=True)
            trial.set_user_attr("failure", f"{type(error).__name__}: {error}"[:500])
            board.study.tell(trial, state=TrialState.FAIL)

    def _judge(self, trial: Trial, values: Mapping[str, Any]) -> dict[str, float]:
        plan = self.plan
        configs = configured(values, *plan.configs())
        pipeline = build(plan.pipeline, configs, plan.weights, plan.device)
        if self.prepared is None:
            self.prepared = split_materials(plan.experiment, pipeline.prepare, lambda rejects: None)
        if isinstance(pipeline.predictor, NetworkPredictor):
            pipeline.predictor.remember(self.known)
        parts = [self.prepared.part(name) for name in ("train", "val")]
        watch = Listener(lambda record: _report(trial, record, plan.prunes), runs.log_note)
        history = pipeline.predictor.fit(*parts, listener=watch, checkpoints=None)
        found = {"mae": min(record.val_mae for record in history)}
        if "milliseconds" in plan.objectives:
            found["milliseconds"] = _milliseconds(pipeline, [m.crystals[0] for m in parts[1]])
        return found


def _report(trial: Trial, record: EpochRecord, prunes: bool) -> None:
    """An epoch's curve point; raises TrialPruned where others were better by then."""
    runs.log_epoch(record)
    trial.set_user_attr(SETTLED, True)
    if not prunes:
        return
    trial.report(record.val_mae, record.epoch)
    if trial.should_prune():
        raise optuna.TrialPruned(
            f"validation MAE {record.val_mae:.3f} K after epoch {record.epoch}, where the others "
            "were better"
        )


def _milliseconds(pipeline: Pipeline, crystals: Sequence[Crystal]) -> float:
    """Of a crystal, from its CIF text to Tc."""
    return mean_milliseconds(
        lambda cif: pipeline.predictor.predict([Crystal("", "", cif)]),
        [crystal.cif for crystal in crystals[: TIMED + 1]],
    )


if __name__ == "__main__":
    main()
