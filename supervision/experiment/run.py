"""One training, whatever the model family: data, split, fit, save, predict, evaluate.

A logger records it: an MLflow run (``tracking.mlflow_logger``) or a plain folder
(``supervision.experiment.run_folder``), which is imported into a run later.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from supervision.data.crystals import Material, Reject
from supervision.data.quantity import Quantity
from supervision.evaluation.prediction import Prediction, predict_materials
from supervision.experiment.sources import require_equal_weights, require_structures
from supervision.experiment.spec import DataSplits, Experiment, split_materials
from supervision.models.families import get_family
from supervision.models.predictor import Predictor
from supervision.models.setup import ModelSetup, WeightsInfo
from supervision.runtime.keep_awake import keep_awake
from supervision.runtime.lock import TrainingLock
from supervision.runtime.version import code_version
from supervision.training.callbacks import NO_CALLBACKS, Callbacks, EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.distributed import ProcessGroup
from supervision.training.target import LINEAR, TC_KINDS

FREE_ON_RESUME = ("device", "patience", "processes")  # may differ when a training is resumed
PART_NAMES = {"val": "validation", "test": "test"}
LockFolder = Callable[[Path], None]


@dataclass(frozen=True)
class RunSpec:
    """What is trained, on what, and from which weights.

    Attributes:
        variant: which of the family's models, in a word.
        settings: everything that the predictor was configured with.
    """

    model_family: str
    variant: str
    settings: Mapping[str, Any]
    weights: WeightsInfo
    experiment: Experiment
    code_version: str

    @classmethod
    def of(cls, setup: ModelSetup, experiment: Experiment) -> "RunSpec":
        """The spec of a model's training by this code."""
        return cls(
            setup.model_family,
            setup.variant,
            setup.settings,
            setup.weights,
            experiment,
            code_version(),
        )

    @property
    def quantity(self) -> Quantity:
        """What the model predicts."""
        return self.experiment.learned

    def title(self, dataset: str) -> str:
        """The run's name; ``dataset`` is the data set's own name."""
        parts = [self.model_family, dataset, self.experiment.split_label, self.variant]
        if not self.quantity.is_tc:
            parts[0] = f"{self.model_family} of {self.quantity.symbol}"
        if self.weights.pretrained:
            parts.insert(3, self.weights.name)
        elif "epochs" in self.settings:
            parts.insert(3, "from scratch")
        return " · ".join(parts)

    def params(self) -> dict[str, Any]:
        """The options of experiment and model, to be logged."""
        experiment = self.experiment.settings()
        if "epochs" in self.settings:
            del experiment["refit"]  # networks are not
        return experiment | dict(self.settings)

    def tags(self) -> dict[str, str]:
        """What a run is found by."""
        weights = self.weights
        return self._quantity_tags() | {
            "dataset": self.experiment.dataset,
            "split": self.experiment.split,
            "weights": weights.name,
            "weights_source": weights.source,
            "weights_choice": weights.choice,
            "weights_license": weights.license,
            "pretrained": str(weights.pretrained).lower(),
            "model_family": self.model_family,
            "code_version": self.code_version,
        }

    def _quantity_tags(self) -> dict[str, str]:
        """Of a run that learns another quantity than Tc."""
        quantity = self.quantity
        return {} if quantity.is_tc else {"quantity": quantity.name, "unit": quantity.unit}

    @property
    def is_refitted(self) -> bool:
        """Whether the model is trained again with the validation materials before the test."""
        return self.experiment.refit and not get_family(self.model_family).has_epochs

    def learned(self, splits: DataSplits) -> list[Material]:
        """All that the final model is trained on."""
        return splits.training_after_validation() if self.is_refitted else splits.training()

    def identity(self, splits: DataSplits) -> dict[str, str]:
        """What must be equal for a training to be resumed."""
        sources = {"extra": splits.extra_hash} if splits.extra else {}
        return (
            identity_of(self.settings)
            | sources
            | {
                "data set hash": splits.dataset.hash,
                "split hash": splits.split.hash,
                "weights": self.weights.name,
                "weights hash": self.weights.hash,
            }
        )

    def provenance(self, splits: DataSplits, run_id: str) -> dict[str, Any]:
        """What is saved with a model: the run, the data and the materials that it learned from.

        A model of another quantity than Tc says which.
        """
        quantity = {} if self.quantity.is_tc else {"quantity": self.quantity.to_dict()}
        return quantity | {
            "run_id": run_id,
            "code_version": self.code_version,
            "dataset": splits.dataset.name,
            "dataset_hash": splits.dataset.hash,
            "split": self.experiment.split,
            "split_hash": splits.split.hash,
            "seed": self.experiment.seed,
            "limit": self.experiment.limit,
            "materials": [m.id for m in splits.training_after_validation()],
            "weights": self.weights.name,
            "weights_hash": self.weights.hash,
        }


def identity_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that must be equal for a training to be resumed."""
    free = set(FREE_ON_RESUME)
    if settings["schedule"] == "plateau":
        free.add("epochs")  # only a cosine depends on the number of epochs
    return {name: str(value) for name, value in settings.items() if name not in free}


class RunLogger(Protocol):
    """Where a training is recorded. The methods are called in this order."""

    @property
    def run_id(self) -> str:
        """The id of the training; of a resumed one, the id it had."""

    def log_spec(self, spec: RunSpec) -> None:
        """What is trained."""

    def log_rejects(self, rejects: Sequence[Reject]) -> None:
        """What cannot be used, and why."""

    def log_data(self, spec: RunSpec, splits: DataSplits) -> None:
        """The materials and their split."""

    def log_image(self, rgb: np.ndarray, name: str) -> None:
        """An image ``[h, w, 3]`` under a path."""

    def open_checkpoints(
        self, spec: RunSpec, splits: DataSplits, lock_folder: LockFolder
    ) -> Checkpoints:
        """The checkpoints; the logger continues the record of a training that is resumed.

        ``lock_folder`` is called with a folder before anything in it is touched.
        """

    def log_epoch(self, record: EpochRecord) -> None:
        """An epoch; when resuming, the earlier ones come again."""

    def log_note(self, text: str) -> None:
        """A sentence for the run's notes."""

    def monitor_system(self) -> AbstractContextManager[None]:
        """Records memory, CPU and GPU within the block."""

    def log_training(self, minutes: float, size: Mapping[str, int]) -> None:
        """How long the training took, and how large the model is."""

    def log_model(
        self,
        spec: RunSpec,
        splits: DataSplits,
        save: Callable[[Path], object],
        held_out: Sequence[Prediction],
    ) -> None:
        """The trained model, which ``save`` writes into a folder.

        ``held_out`` are predictions of validation materials that it had not learned from.
        """

    def log_evaluation(
        self,
        spec: RunSpec,
        splits: DataSplits,
        predictions: Sequence[Prediction],
        history: Sequence[EpochRecord],
    ) -> None:
        """The predictions of the validation and test materials."""

    def finish(self, checkpoints: Checkpoints | None) -> None:
        """The record is complete."""


def run_training(setup: ModelSetup, experiment: Experiment, logger: RunLogger) -> None:
    """Train, save the model, and log its predictions of the validation and test materials.

    The model is saved before the test is predicted or anything is plotted: no later fault may cost
    it. A model without epochs predicts the validation materials, is then fitted to these as well
    (``refit``), and predicts the test materials. A network has chosen its epoch by them, and is
    not.
    Raises BusyError where another training runs on this machine or in the checkpoint folder.
    """
    spec, predictor = RunSpec.of(setup, experiment), setup.predictor
    family = get_family(setup.model_family)
    has_epochs = family.has_epochs  # then it is resumed and takes long
    if not family.learns_from_formulas:
        require_structures(experiment.sources, family.name)
    if has_epochs:
        require_equal_weights(experiment.sources, family.name)
    with TrainingLock(logger.run_id) as lock:
        checkpoints: Checkpoints | None = None
        if has_epochs:
            lock.lock_machine(parallel=experiment.parallel)
        logger.log_spec(spec)
        splits = split_materials(experiment, setup.featurize, logger.log_rejects)
        require_transform(setup.settings.get("target", ""), spec.quantity, splits.materials)
        logger.log_data(spec, splits)
        for name, rgb in setup.images(splits.materials).items():
            logger.log_image(rgb, f"plots/{name}.png")
        if has_epochs:
            checkpoints = logger.open_checkpoints(spec, splits, lock.lock_folder)
            lock.rename_run(logger.run_id)
            require_equal_ranks(spec.identity(splits))
        start = time.monotonic()
        with keep_awake(), logger.monitor_system():
            history = predictor.fit(
                splits.training(),
                splits.part("val"),
                callbacks=Callbacks(logger.log_epoch, logger.log_note),
                checkpoints=checkpoints,
            )
        logger.log_training(_seconds(history, time.monotonic() - start) / 60, predictor.size)
        held_out = _predict(predictor, splits, "val")
        if spec.is_refitted:
            predictor.fit(
                spec.learned(splits),
                splits.part("val"),
                callbacks=NO_CALLBACKS,
                checkpoints=None,
            )
        logger.log_model(spec, splits, predictor.save, held_out)
        predictions = [*held_out, *_predict(predictor, splits, "test")]
        logger.log_evaluation(spec, splits, predictions, history)
        logger.finish(checkpoints)


def require_transform(kind: str, quantity: Quantity, materials: Sequence[Material]) -> None:
    """Raise ValueError where the transform of a model's values does not suit the quantity."""
    if kind == LINEAR and quantity.is_tc:
        raise ValueError(
            f"target={LINEAR} predicts negative values, too: choose identity for Tc, which is 0 K "
            "or more."
        )
    lowest = min(m.tc for m in materials)
    if kind in TC_KINDS and lowest < 0:
        raise ValueError(
            f"target={kind} takes values of 0 or more, and the lowest {quantity.symbol} is "
            f"{quantity.with_unit(f'{lowest:g}')}: choose target={LINEAR}."
        )


def _predict(predictor: Predictor, splits: DataSplits, *parts: str) -> list[Prediction]:
    materials = {part: splits.part(part) for part in parts}
    count = sum(map(len, materials.values()))
    print(f"Predicting {count} {' and '.join(PART_NAMES[p] for p in parts)} materials.", flush=True)
    return predict_materials(predictor, materials)


def run_other_rank(setup: ModelSetup, experiment: Experiment) -> None:
    """Train as a further process of a group; the main process calls ``run_training``."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        splits = split_materials(experiment, setup.featurize, lambda rejects: None)
        require_equal_ranks(RunSpec.of(setup, experiment).identity(splits))
        setup.predictor.fit(
            splits.training(), splits.part("val"), callbacks=NO_CALLBACKS, checkpoints=None
        )


def require_equal_ranks(identity: Mapping[str, str]) -> None:
    """Raise ValueError where the processes of a group would not train the same."""
    group = ProcessGroup.current()
    for rank, other in enumerate(group.all_gather([dict(identity)])):
        for name, ours in identity.items():
            if other[name] != ours:
                raise ValueError(
                    f"The processes of this training differ: {name} is {other[name]} in process "
                    f"{rank}, {ours} in process {group.rank}."
                )


def _seconds(history: Sequence[EpochRecord], here: float) -> float:
    """The duration of a training: that of this process, or of all epochs where it was resumed."""
    return max(here, sum(record.seconds for record in history))
