"""A worker process that runs trials of a study.

    python -m tracking.tuning.trials PLAN.json PARENT_PID

Each trial is an MLflow run below the study's run. It trains on the training materials, is
evaluated on the validation materials and never reads a test material.
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
from supervision.experiment.settings_file import apply_settings
from supervision.experiment.sources import require_structures
from supervision.experiment.spec import Experiment, split_materials
from supervision.models.families import ModelFamily, default_configs, get_family
from supervision.models.neural import NeuralPredictor
from supervision.models.setup import ModelSetup
from supervision.runtime.errors import StoreError
from supervision.runtime.files import cache_dir
from supervision.training.callbacks import Callbacks, EpochRecord
from supervision.training.feature_cache import remove_unread
from tracking import runs
from tracking.description import describe_run
from tracking.serving.timing import mean_milliseconds
from tracking.tuning.search_spaces import SPACES
from tracking.tuning.storage import open_storage, write_lock
from tracking.tuning.trial_queue import FAILURE, RUN, TrialQueue, sample

OBJECTIVES = ("mae", "milliseconds")
PRUNERS = ("median", "hyperband", "none")
TIMED_CRYSTALS = 10
TRIAL_NUMBER_TAG, TRIAL_STATE_TAG = "trial", "trial_state"  # of a trial's MLflow run
MEASURED = "settled"  # attribute of a trial in the storage: it has finished an epoch


@dataclass(frozen=True)
class StudyPlan:
    """The options of a study that its workers need.

    Attributes:
        study: the name of the study.
        storage: a journal file or a database URL.
        epochs: of a trial; 0 for the number that a training has by default.
        final_epochs: of the trainings at the end; 0 for the number that a training has by default.
        objectives: the values to minimize: the MAE of the validation materials (kelvin) and the
            time per crystal from CIF text to Tc (milliseconds).
        deadline: in seconds since 1970; no trial begins later. 0 for none.
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
    deadline: float = 0.0

    def __post_init__(self) -> None:
        if self.model_family not in SPACES:
            raise ValueError(
                f"model_family '{self.model_family}' has no search space; one of "
                f"{', '.join(SPACES)} has (tracking/tuning/search_spaces.py)."
            )
        if self.pruner not in PRUNERS:
            raise ValueError(f"pruner '{self.pruner}' is not one of {', '.join(PRUNERS)}.")
        if self.objectives not in (OBJECTIVES[:1], OBJECTIVES):
            raise ValueError(
                f"objectives '{','.join(self.objectives)}' are neither {OBJECTIVES[0]} nor "
                f"{','.join(OBJECTIVES)}."
            )
        if not self.family.learns_from_formulas:
            require_structures(self.experiment.sources, self.model_family)
        for name in ("epochs", "final_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")

    @property
    def family(self) -> ModelFamily:
        """The model family whose settings are searched."""
        return get_family(self.model_family)

    @property
    def deadline_passed(self) -> bool:
        """Whether no further trial may begin."""
        return bool(self.deadline) and time.time() > self.deadline

    @property
    def prunes(self) -> bool:
        """Whether trials may be pruned. Optuna cannot prune with several objectives."""
        return len(self.objectives) == 1 and self.pruner != "none" and self.family.has_epochs

    def configs(self) -> list[Any]:
        """The default configurations of a trial, which its values then replace."""
        experiment = self.experiment
        configs = default_configs(self.family, experiment.dataset, experiment.seed)
        if self.epochs and len(configs) > 1:
            configs[1] = replace(configs[1], epochs=self.epochs)
        return configs

    def defaults(self) -> dict[str, Any]:
        """The values of the first trial: the default settings of a training."""
        settings = {k: v for config in self.configs() for k, v in asdict(config).items()}
        return {name: settings[name] for name in SPACES[self.model_family]}

    def open_queue(self) -> TrialQueue:
        """Open the study's queue of trials; creates the study if the storage does not have it."""
        storage = open_storage(self.storage)
        study = optuna.create_study(
            study_name=self.study,
            storage=storage,
            directions=["minimize"] * len(self.objectives),
            pruner=self._pruner(),
            load_if_exists=True,
        )
        return TrialQueue(study, storage, self._sampler, write_lock(self.storage))

    def _pruner(self) -> BasePruner:
        if not self.prunes:
            return NopPruner()
        if self.pruner == "median":
            return MedianPruner()
        return HyperbandPruner(max_resource=self.configs()[1].epochs)

    def _sampler(self, number: int) -> BaseSampler:
        """One sampler per trial: its values depend on the seed and the trials before it only."""
        seed = (1000 * self.experiment.seed + number) % 2**32
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def write(self, path: Path) -> None:
        """Write the file that ``read`` reads in another process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "StudyPlan":
        """Read the file that ``write`` has written."""
        values = json.loads(path.read_text())
        values["experiment"] = Experiment(**values["experiment"])
        return cls(**values | {"objectives": tuple(values["objectives"])})


def main() -> None:
    """Run trials until none waits or the deadline has passed."""
    plan, parent = sys.argv[1:]
    run_trials(StudyPlan.read(Path(plan)), parent=int(parent))


def run_trials(plan: StudyPlan, *, parent: int) -> None:
    """Claim and run one trial after the other while the process ``parent`` exists.

    The failure of a trial is recorded, and the next trial begins.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    queue = plan.open_queue()
    runner = TrialRunner(plan)  # before the first claim: its errors are not those of a trial
    while os.getppid() == parent and not plan.deadline_passed:
        trial = queue.claim()
        if trial is None:
            return
        with queue.heartbeat(trial):
            runner.run(queue, trial)


class TrialRunner:
    """Runs the trials of a worker, which share materials, split and features of the backbone."""

    def __init__(self, plan: StudyPlan) -> None:
        self.plan = plan
        setup = plan.family.setup(plan.weights, plan.device, *plan.configs())
        self.prepared = split_materials(plan.experiment, setup.featurize, lambda rejects: None)
        self.features = cache_dir() / "features"
        remove_unread(self.features)

    def run(self, queue: TrialQueue, trial: Trial) -> None:
        """Run a trial in an MLflow run.

        An error is recorded as the trial's failure. If this process is stopped, the trial is
        released. If the tracking store or the study's storage fails, the error is raised, and the
        trial is enqueued again when this process has ended.
        """
        try:
            values = sample(trial, SPACES[self.plan.model_family])
            print(f"Trial {trial.number}: {values}", flush=True)
            tags = {TRIAL_NUMBER_TAG: str(trial.number), TRIAL_STATE_TAG: "running"}
            with runs.tracked_run(f"trial {trial.number}", tags=tags):
                trial.set_user_attr(RUN, runs.run_id())
                runs.log_params(values)
                self._evaluate_and_record(queue, trial, values)
        except KeyboardInterrupt:
            queue.release(trial)
            raise
        except (MlflowException, StoreError, StorageInternalError):
            raise
        except Exception as error:  # any other error is this trial's, and the study continues
            print(f"Trial {trial.number} failed: {error}", flush=True)
            with suppress(UpdateFinishedTrialError):  # it was marked as lost and is enqueued again
                trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}"[:500])
                queue.study.tell(trial, state=TrialState.FAIL)

    def _evaluate_and_record(
        self, queue: TrialQueue, trial: Trial, values: Mapping[str, Any]
    ) -> None:
        """Evaluate a trial and record its state and objectives in the study and in its run."""
        try:
            results = self._evaluate(trial, values)
        except optuna.TrialPruned as reason:
            self._describe(trial, f"Pruned: {reason}.")
            queue.study.tell(trial, state=TrialState.PRUNED)
            mlflow.set_tags({TRIAL_STATE_TAG: "pruned", "pruned_because": str(reason)})
            mlflow.end_run(RunStatus.to_string(RunStatus.KILLED))
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            mlflow.set_tag(TRIAL_STATE_TAG, "stopped" if stopped else "failed")
            raise
        else:
            mlflow.log_metrics(results)
            self._describe(trial, f"Validation MAE {results['mae']:.2f} K.")
            queue.study.tell(trial, [results[name] for name in self.plan.objectives])
            mlflow.set_tag(TRIAL_STATE_TAG, "complete")

    def _describe(self, trial: Trial, result: str) -> None:
        """Describe the trial's run; the study's has the errors of its best settings on test."""
        what = f"Trial {trial.number} of study {self.plan.study}; its settings are the parameters."
        describe_run(what, f"{result} Trials are not tested.", metrics=("mae",))

    def _evaluate(self, trial: Trial, values: Mapping[str, Any]) -> dict[str, float]:
        """Train with these values; returns the objectives by name."""
        plan = self.plan
        configs = apply_settings(values, *plan.configs())
        setup = plan.family.setup(plan.weights, plan.device, *configs)
        if isinstance(setup.predictor, NeuralPredictor):
            setup.predictor.use_feature_cache(self.features)
        train, val = self.prepared.training(), self.prepared.part("val")
        last_epoch = configs[1].epochs if plan.prunes else 0
        callbacks = Callbacks(_LearningCurve(trial, last_epoch).on_epoch, runs.log_note)
        history = setup.predictor.fit(train, val, callbacks=callbacks, checkpoints=None)
        results = {"mae": min(record.val_mae for record in history)}
        if "milliseconds" in plan.objectives:
            results["milliseconds"] = _milliseconds(setup, [m.crystals[0] for m in val])
        return results


class _LearningCurve:
    """Logs the epochs of a trial and prunes it.

    ``last_epoch`` is the trial's last epoch, at which pruning saves nothing; 0 to never prune.
    """

    def __init__(self, trial: Trial, last_epoch: int) -> None:
        self.trial, self.last_epoch = trial, last_epoch
        self.best = math.inf

    def on_epoch(self, record: EpochRecord) -> None:
        """Log an epoch. Raises TrialPruned if other trials were better at the same epoch.

        Compared is the best MAE so far, as a training keeps the best epoch. Epoch 0 is not
        compared: only the head is trained then, and most settings have no effect yet.
        """
        runs.log_epoch(record)
        self.best = min(self.best, record.val_mae)
        if not record.epoch:
            return
        self.trial.set_user_attr(MEASURED, True)
        if not self.last_epoch:
            return
        self.trial.report(self.best, record.epoch)
        if record.epoch < self.last_epoch and self.trial.should_prune():
            raise optuna.TrialPruned(
                f"the best validation MAE by epoch {record.epoch} was {self.best:.3f} K, and other "
                "trials were better by then"
            )


def _milliseconds(setup: ModelSetup, crystals: Sequence[Crystal]) -> float:
    """The mean time per crystal, from CIF text to Tc."""
    return mean_milliseconds(
        lambda cif: setup.predictor.predict([Crystal("", "", cif)]),
        [crystal.cif for crystal in islice(cycle(crystals), TIMED_CRYSTALS + 1)],
    )


if __name__ == "__main__":
    main()
