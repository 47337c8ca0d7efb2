"""The road every training takes, whatever the paradigm: data, split, fit, keep, predict, judge.

Where it is written down, a logbook knows: an MLflow run (``tracking.train``), or a plain folder
(``supervision.experiment.run_folder``) that is brought into one later.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from supervision.data.crystals import Reject
from supervision.evaluation.prediction import Prediction, predict_materials
from supervision.experiment.spec import DataSplits, Experiment, split_materials
from supervision.models.setup import ModelSetup, WeightsInfo
from supervision.runtime.keep_awake import keep_awake
from supervision.runtime.lock import TrainingLock
from supervision.runtime.version import code_version
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.distributed import ProcessGroup

# what does not change what a model has learned so far
FREE_ON_RESUME = ("device", "patience", "processes")
JUDGED_ON = ("val", "test")
Claim = Callable[[Path], None]


@dataclass(frozen=True)
class RunSpec:
    """What is trained, on what and from what: all that a run is told by.

    Attributes:
        model_family: vision, graph, ....
        variant: which of its models, in a word.
        settings: all that the predictor was told.
    """

    model_family: str
    variant: str
    settings: Mapping[str, Any]
    origin: WeightsInfo
    experiment: Experiment
    code_version: str

    @classmethod
    def of(cls, setup: ModelSetup, experiment: Experiment) -> "RunSpec":
        """What a model is to be trained on, by this code."""
        return cls(
            setup.model_family,
            setup.variant,
            setup.settings,
            setup.origin,
            experiment,
            code_version(),
        )

    @property
    def model_name(self) -> str:
        """Under which the models of this paradigm are registered."""
        return f"supervision-{self.model_family}"

    def title(self, dataset: str) -> str:
        """The run's name, with the data set's own."""
        split, weights = self.experiment.split, self.origin.weights
        return " · ".join((self.model_family, dataset, split, weights, self.variant))

    def params(self) -> dict[str, Any]:
        """What was asked for."""
        return self.experiment.settings() | dict(self.settings)

    def tags(self) -> dict[str, str]:
        """What a run is found again by."""
        origin = self.origin
        return {
            "dataset": self.experiment.dataset,
            "split": self.experiment.split,
            "weights": origin.weights,
            "weights_source": origin.source,
            "weights_choice": origin.choice,
            "weights_license": origin.license,
            "pretrained": str(origin.pretrained).lower(),
            "model_family": self.model_family,
            "code_version": self.code_version,
        }

    def identity(self, prepared: DataSplits) -> dict[str, str]:
        """What must be equal for a training to be carried on."""
        return identity_of(self.settings) | {
            "data set hash": prepared.dataset.hash,
            "split hash": prepared.split.hash,
            "weights": self.origin.weights,
            "weights hash": self.origin.hash,
        }

    def made_from(self, prepared: DataSplits, run: str) -> dict[str, Any]:
        """What is saved with a model: the run, the data and the materials that it learned from."""
        return {
            "run_id": run,
            "code_version": self.code_version,
            "dataset": prepared.dataset.name,
            "dataset_hash": prepared.dataset.hash,
            "split": self.experiment.split,
            "split_hash": prepared.split.hash,
            "seed": self.experiment.seed,
            "limit": self.experiment.limit,
            "materials": [m.id for part in ("train", "val") for m in prepared.part(part)],
            "weights": self.origin.weights,
            "weights_hash": self.origin.hash,
        }


def identity_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a training cannot be carried on without."""
    free = set(FREE_ON_RESUME)
    if settings["schedule"] == "plateau":
        free.add("epochs")  # only a cosine depends on how many are to come
    return {name: str(value) for name, value in settings.items() if name not in free}


class RunLogger(Protocol):
    """Where a training is written down, in the order of its methods."""

    @property
    def run(self) -> str:
        """Under which id the training is known."""

    def describe(self, task: RunSpec) -> None:
        """What is to be done."""

    def rejects(self, rejects: Sequence[Reject]) -> None:
        """What could not be used, and why."""

    def inputs(self, task: RunSpec, prepared: DataSplits) -> None:
        """The materials and their split."""

    def picture(self, rgb: np.ndarray, name: str) -> None:
        """A picture ``[h, w, 3]`` under a path."""

    def checkpoints(self, task: RunSpec, prepared: DataSplits, claim: Claim) -> Checkpoints:
        """Where the training's state goes; the book becomes that of one that is carried on.

        ``claim`` is called of a folder before anything there is touched.
        """

    def epoch(self, record: EpochRecord) -> None:
        """An epoch; an earlier one again, where a training is carried on."""

    def note(self, text: str) -> None:
        """A sentence that should be found again."""

    def watching(self) -> AbstractContextManager[None]:
        """While the model trains within it, how the machine fares."""

    def trained(self, minutes: float, size: Mapping[str, int]) -> None:
        """How long it took, and how large the model is."""

    def model(self, task: RunSpec, prepared: DataSplits, save: Callable[[Path], object]) -> None:
        """The trained model, which ``save`` writes into a folder."""

    def judge(
        self,
        task: RunSpec,
        prepared: DataSplits,
        predictions: Sequence[Prediction],
        history: Sequence[EpochRecord],
    ) -> None:
        """What it says of the materials that it did not learn from."""

    def finish(self, checkpoints: Checkpoints | None) -> None:
        """All is written down."""


def train(setup: ModelSetup, experiment: Experiment, book: RunLogger) -> None:
    """Train, keep the model, and hand over what it says of validation and test materials.

    The model is kept before anything is judged or drawn: no later fault may cost it.
    Raises BusyError where another training is in the way.
    """
    task, predictor = RunSpec.of(setup, experiment), setup.predictor
    with TrainingLock(book.run) as lock:
        checkpoints: Checkpoints | None = None
        if setup.resumable:
            lock.lock_machine(parallel=experiment.parallel)
        book.describe(task)
        prepared = split_materials(experiment, setup.featurize, book.rejects)
        book.inputs(task, prepared)
        for name, rgb in setup.pictures(prepared.materials).items():
            book.picture(rgb, f"plots/{name}.png")
        if setup.resumable:
            checkpoints = book.checkpoints(task, prepared, lock.lock_folder)
            lock.rename_run(book.run)
            require_one(task.identity(prepared))
        start = time.monotonic()
        with keep_awake(), book.watching():
            history = predictor.fit(
                prepared.part("train"),
                prepared.part("val"),
                listener=Callbacks(book.epoch, book.note),
                checkpoints=checkpoints,
            )
        book.trained(_spent(history, time.monotonic() - start) / 60, predictor.size)
        book.model(task, prepared, predictor.save)
        parts = {part: prepared.part(part) for part in JUDGED_ON}
        print(f"Predicting {sum(map(len, parts.values()))} materials to be judged on.", flush=True)
        book.judge(task, prepared, predict_materials(predictor, parts), history)
        book.finish(checkpoints)


def follow(setup: ModelSetup, experiment: Experiment) -> None:
    """Train as one of a group, whose first process takes the road above and writes it down."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        prepared = split_materials(experiment, setup.featurize, lambda rejects: None)
        require_one(RunSpec.of(setup, experiment).identity(prepared))
        setup.predictor.fit(
            prepared.part("train"), prepared.part("val"), listener=NO_CALLBACKS, checkpoints=None
        )


def require_one(identity: Mapping[str, str]) -> None:
    """Raise ValueError where the processes of a group would not train the same."""
    for rank, other in enumerate(ProcessGroup.current().all_gather([dict(identity)])):
        for name, ours in identity.items():
            if other[name] != ours:
                raise ValueError(
                    f"The processes of this training differ: {name} is {other[name]} in process "
                    f"{rank}, {ours} in process {ProcessGroup.current().rank}."
                )


def _spent(history: Sequence[EpochRecord], here: float) -> float:
    """Seconds of a training: those spent here, or all its epochs' where it was carried on."""
    return max(here, sum(record.seconds for record in history))
