"""A process that works on a study's trials: ``python -m tracking.tuning.trials PLAN.json LEADER``.

Each trial is a run below the study's own. It learns from the training materials, is judged on the
validation materials, and never sees a test material.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import mlflow
import optuna
from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import Trial, TrialState

from supervision.data.crystals import Crystal
from supervision.experiment.settings_file import configured
from supervision.experiment.spec import Experiment, split_materials
from supervision.models.families import build, default_configs
from supervision.models.neural import NeuralPredictor
from supervision.models.setup import ModelSetup
from supervision.runtime.errors import StoreError
from supervision.runtime.files import cache_dir
from supervision.training.callbacks import Callbacks, EpochRecord
from supervision.training.feature_cache import remove_unread
from tracking import runs
from tracking.serving.timing import mean_milliseconds
from tracking.tuning.search_spaces import SPACES
from tracking.tuning.storage import guard_of, open_storage
from tracking.tuning.study import FAILURE, RUN, TrialQueue, sample

OBJECTIVES = ("mae", "milliseconds")
PRUNERS = ("median", "hyperband", "none")
TIMED = 10  # crystals
NUMBER, STATE, SETTLED = "trial", "trial_state", "settled"


@dataclass(frozen=True)
class StudyPlan:
    """What a study is of, and what its workers need to know.

    Attributes:
        epochs: of a trial; 0: those of a training where nothing is chosen.
        final_epochs: of the default and the best, trained to the end; 0 likewise.
        objectives: what is to be small: of the validation materials the MAE in kelvin, and of a
            crystal, from its CIF text to Tc, the milliseconds.
        until: seconds since 1970 after which no trial is begun; 0: never.
    """

    study: str
    storage: str
    model_family: str
    experiment: Experiment
    weights: str = "auto"
    device: str = "auto"
    epochs: int = 0
    final_epochs: int = 0
    objectives: tuple[str, ...] = OBJECTIVES[:1]
    pruner: str = PRUNERS[0]
    until: float = 0.0

    def __post_init__(self) -> None:
        if self.model_family not in SPACES:
            raise ValueError(
                f"model_family '{self.model_family}' is not one of {', '.join(SPACES)}."
            )
        if self.pruner not in PRUNERS:
            raise ValueError(f"pruner '{self.pruner}' is not one of {', '.join(PRUNERS)}.")
        if self.objectives not in (OBJECTIVES[:1], OBJECTIVES):
            raise ValueError(
                f"objectives '{','.join(self.objectives)}' are neither {OBJECTIVES[0]} nor "
                f"{','.join(OBJECTIVES)}."
            )
        for name in ("epochs", "final_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return bool(self.until) and time.time() > self.until

    @property
    def prunes(self) -> bool:
        """Whether trials may be broken off; with several objectives Optuna cannot."""
        return len(self.objectives) == 1 and self.pruner != "none" and self.model_family in NETWORKS

    def configs(self) -> list[Any]:
        """What a trial's values are put into."""
        found = default_configs(self.model_family, self.experiment.dataset, self.experiment.seed)
        if self.epochs and len(found) > 1:
            found[1] = replace(found[1], epochs=self.epochs)
        return found

    def defaults(self) -> dict[str, Any]:
        """The values of the first trial: those of a training where nothing is chosen."""
        known = {k: v for config in self.configs() for k, v in asdict(config).items()}
        return {name: known[name] for name in SPACES[self.model_family]}

    def board(self) -> TrialQueue:
        """The study, made where it is not there yet."""
        storage = open_storage(self.storage)
        study = optuna.create_study(
            study_name=self.study,
            storage=storage,
            directions=["minimize"] * len(self.objectives),
            pruner=self._pruner(),
            load_if_exists=True,
        )
        return TrialQueue(study, storage, self._sampler, guard_of(self.storage))

    def _pruner(self) -> BasePruner:
        if not self.prunes:
            return NopPruner()
        if self.pruner == "median":
            return MedianPruner()
        return HyperbandPruner(max_resource=self.configs()[1].epochs)

    def _sampler(self, number: int) -> BaseSampler:
        """Each trial's own, so that its values hang on the seed and on what came before it."""
        seed = (1000 * self.experiment.seed + number) % 2**32
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def write(self, path: Path) -> None:
        """For ``read``, in another process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "StudyPlan":
        """What ``write`` wrote."""
        found = json.loads(path.read_text())
        found["experiment"] = Experiment(**found["experiment"])
        return cls(**found | {"objectives": tuple(found["objectives"])})


NETWORKS = ("vision", "graph")  # those that learn epoch by epoch


def main() -> None:
    """Work on trials until none waits, or time is up."""
    plan, parent = sys.argv[1:]
    work(StudyPlan.read(Path(plan)), parent=int(parent))


def work(plan: StudyPlan, *, parent: int) -> None:
    """Claim trials one after the other, for as long as the ``parent`` is there.

    A failed one is recorded, and the next one begins.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    board = plan.board()
    desk = TrialRunner(
        plan
    )  # before a trial is claimed: what this machine lacks is no trial's fault
    while os.getppid() == parent and not plan.over:
        trial = board.claim()
        if trial is None:
            return
        with board.pulse(trial):
            desk.do(board, trial)


class TrialRunner:
    """What the trials of a worker share: materials, their split, frozen features."""

    def __init__(self, plan: StudyPlan) -> None:
        self.plan = plan
        setup = build(plan.model_family, plan.configs(), plan.weights, plan.device)
        self.prepared = split_materials(plan.experiment, setup.featurize, lambda rejects: None)
        self.features = cache_dir() / "features"
        remove_unread(self.features)

    def do(self, board: TrialQueue, trial: Trial) -> None:
        """Try the values that a trial is given, in a run of its own.

        An error is the trial's, and recorded; where this process is stopped, or the tracking store
        or the study's storage is gone, the trial is not judged, and waits again.
        """
        try:
            values = sample(trial, SPACES[self.plan.model_family])
            print(f"Trial {trial.number}: {values}", flush=True)
            tags = {NUMBER: str(trial.number), STATE: "running"}
            with runs.tracked_run(f"trial {trial.number}", tags=tags):
                trial.set_user_attr(RUN, runs.run_id())
                runs.log_params(values)
                self._try(board, trial, values)
        except KeyboardInterrupt:
            board.give_back(trial)
            raise
        except (MlflowException, StoreError, StorageInternalError):
            raise
        except Exception as error:  # whatever it is, the study goes on with the next trial
            print(f"Trial {trial.number} failed: {error}", flush=True)
            with suppress(UpdateFinishedTrialError):  # it was taken for lost, and waits again
                trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}"[:500])
                board.study.tell(trial, state=TrialState.FAIL)

    def _try(self, board: TrialQueue, trial: Trial, values: Mapping[str, Any]) -> None:
        """Judge a trial, and say what came of it."""
        try:
            found = self._judge(trial, values)
        except optuna.TrialPruned as why:
            board.study.tell(trial, state=TrialState.PRUNED)
            mlflow.set_tags({STATE: "pruned", "pruned_because": str(why)})
            mlflow.end_run(RunStatus.to_string(RunStatus.KILLED))
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            mlflow.set_tag(STATE, "stopped" if stopped else "failed")
            raise
        else:
            mlflow.log_metrics(found)
            board.study.tell(trial, [found[name] for name in self.plan.objectives])
            mlflow.set_tag(STATE, "complete")

    def _judge(self, trial: Trial, values: Mapping[str, Any]) -> dict[str, float]:
        plan = self.plan
        configs = configured(values, *plan.configs())
        setup = build(plan.model_family, configs, plan.weights, plan.device)
        if isinstance(setup.predictor, NeuralPredictor):
            setup.predictor.share(self.features)
        parts = [self.prepared.part(name) for name in ("train", "val")]
        last = configs[1].epochs if plan.prunes else 0
        watch = Callbacks(_Curve(trial, last).tell, runs.log_note)
        history = setup.predictor.fit(*parts, listener=watch, checkpoints=None)
        found = {"mae": min(record.val_mae for record in history)}
        if "milliseconds" in plan.objectives:
            found["milliseconds"] = _milliseconds(setup, [m.crystals[0] for m in parts[1]])
        return found


class _Curve:
    """The epochs of a trial as they come, and when it is given up.

    ``last`` is its last epoch, after which nothing is saved by that (0: no trial is pruned).
    """

    def __init__(self, trial: Trial, last: int) -> None:
        self.trial, self.last = trial, last
        self.best = math.inf

    def tell(self, record: EpochRecord) -> None:
        """Log a point; raises TrialPruned where others were better by then.

        What counts is the best so far, which a training would keep. Epoch 0 is the head alone: most
        settings have not had their effect by then.
        """
        runs.log_epoch(record)
        self.best = min(self.best, record.val_mae)
        if not record.epoch:
            return
        self.trial.set_user_attr(SETTLED, True)
        if not self.last:
            return
        self.trial.report(self.best, record.epoch)
        if record.epoch < self.last and self.trial.should_prune():
            raise optuna.TrialPruned(
                f"validation MAE {self.best:.3f} K at best by epoch {record.epoch}, where the "
                "others were better"
            )


def _milliseconds(setup: ModelSetup, crystals: Sequence[Crystal]) -> float:
    """Of a crystal, from its CIF text to Tc."""
    return mean_milliseconds(
        lambda cif: setup.predictor.predict([Crystal("", "", cif)]),
        [crystal.cif for crystal in islice(cycle(crystals), TIMED + 1)],
    )


if __name__ == "__main__":
    main()
