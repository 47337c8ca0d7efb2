"""An MLflow run as the logger of a training: everything logged, the model evaluated, registered."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

import mlflow
import numpy as np

from supervision.data.crystals import Reject
from supervision.evaluation.prediction import Prediction
from supervision.experiment.answer_data import write_answer_data
from supervision.experiment.run import LockFolder, RunSpec
from supervision.experiment.spec import DataSplits
from supervision.models.families import get_family
from supervision.models.predictor import PROVENANCE_FILE
from supervision.release.card import LIMITS_OF_ALL
from supervision.runtime.files import sha256_of
from supervision.training.callbacks import EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.resuming import checkpoints_dir, open_checkpoints
from tracking import runs
from tracking.comparison.results import QUANTITY_TAG
from tracking.evaluation_report import (
    Evaluation,
    describe_evaluation,
    errors_section,
    log_evaluation,
    predictions_table,
)
from tracking.inputs import log_inputs
from tracking.serving import registry
from tracking.serving.model_page import LABELS, card, data_section, picture_section
from tracking.system_metrics import log_system_metrics

MODEL, CONTENT = "model_uri", "model_sha256"  # tags


class MLflowLogger:
    """Records a training in the active run; see ``supervision.experiment.run.RunLogger``."""

    @property
    def run_id(self) -> str:
        """The id of the active run."""
        return runs.run_id()

    def log_spec(self, spec: RunSpec) -> None:
        """Params and tags."""
        runs.log_settings(spec.params(), spec.tags())

    def log_rejects(self, rejects: Sequence[Reject]) -> None:
        """rejects.csv."""
        runs.log_rejects(rejects)

    def log_data(self, spec: RunSpec, splits: DataSplits) -> None:
        """Hashes, counts, the materials and the split; and the run's name, which is known now."""
        name = splits.dataset.name
        mlflow.set_tags({"mlflow.runName": spec.title(name), "dataset": name})
        log_inputs(splits, spec.weights, spec.quantity)

    def log_image(self, rgb: np.ndarray, name: str) -> None:
        """A PNG artifact."""
        runs.log_image(rgb, name)

    def open_checkpoints(
        self, spec: RunSpec, splits: DataSplits, lock_folder: LockFolder
    ) -> Checkpoints:
        """The checkpoints; an unfinished training is resumed under its own run."""
        checkpoints = open_checkpoints(
            spec.identity(splits),
            folder=spec.experiment.checkpoint_dir,
            resume=spec.experiment.resume,
            run=self.run_id,
            is_known=runs.is_unfinished,
            lock_folder=lock_folder,
        )
        if checkpoints.resume and runs.is_unfinished(checkpoints.run):
            print(f"Resuming run {checkpoints.run}.", flush=True)
            runs.resume_run(checkpoints.run)
            self.log_spec(spec)  # some settings may differ
        elif checkpoints.resume:  # more epochs for a finished training, in a run of their own
            mlflow.set_tag("resumes", checkpoints.run)
            checkpoints.run = self.run_id
        print(f"Checkpoints: {checkpoints.folder}", flush=True)
        mlflow.set_tag("checkpoints", str(checkpoints.folder))
        return checkpoints

    @cached_property
    def epochs(self) -> set[int]:
        """The epochs that the run had before this process logged its first."""
        return runs.logged_epochs()

    def log_epoch(self, record: EpochRecord) -> None:
        """Metrics with the epoch as their step."""
        if record.epoch not in self.epochs:
            runs.log_epoch(record)

    def log_note(self, text: str) -> None:
        """A line of the tag ``notes``."""
        runs.log_note(text)

    def monitor_system(self) -> AbstractContextManager[None]:
        """System metrics."""
        return log_system_metrics(self.run_id)

    def log_training(self, minutes: float, size: Mapping[str, int]) -> None:
        """A metric and params."""
        runs.log_metrics({"train_minutes": minutes})
        runs.log_params(size)

    def log_model(
        self,
        spec: RunSpec,
        splits: DataSplits,
        save: Callable[[Path], object],
        held_out: Sequence[Prediction],
    ) -> None:
        """The model with its provenance and answer data, once: the run may be resumed after it."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "predictor"
            save(folder)
            write_answer_data(folder, spec.learned(splits), splits, held_out)
            content = _sha256_of_predictor(folder)
            if runs.tag(CONTENT) == content:
                return
            provenance = spec.provenance(splits, self.run_id)
            (folder / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=1))
            example = splits.part("test")[0].crystals[0].cif
            uri = registry.log_predictor(
                folder, spec.model_family, example, spec.weights.license, spec.quantity
            )
        mlflow.set_tags({MODEL: uri, CONTENT: content})

    def log_evaluation(
        self,
        spec: RunSpec,
        splits: DataSplits,
        predictions: Sequence[Prediction],
        history: Sequence[EpochRecord],
    ) -> None:
        """Metrics, tables and plots; then the model is registered, unless ``register=false``."""
        table = predictions_table(predictions, splits)
        title = spec.title(splits.dataset.name)
        has_epochs = get_family(spec.model_family).has_epochs
        evaluated = log_evaluation(table, history, title, spec.quantity, has_epochs=has_epochs)
        curve = {"plots/training_curve.png": "the training curve"} if len(history) > 1 else {}
        describe_evaluation(evaluated, _what(spec, splits), curve)
        if spec.experiment.register:
            register(spec, splits, evaluated)
        else:
            print("Not registered (register=false).", flush=True)

    def finish(self, checkpoints: Checkpoints | None) -> None:
        """Checkpoints in the cache are deleted; prints what to do next."""
        if checkpoints:
            checkpoints.finish()
            if checkpoints.folder.parent == checkpoints_dir():
                shutil.rmtree(checkpoints.folder, ignore_errors=True)
                mlflow.delete_tag("checkpoints")
        print(f"Run {self.run_id}", flush=True)
        compared = "; `python -m entrypoints.compare` sets it beside the others"
        is_tc = not runs.tag(QUANTITY_TAG)
        print(
            "Next: `mlflow ui` shows the run; `python -m entrypoints.predict FILE.cif --model "
            f"runs:/{self.run_id}/model` predicts with it{compared if is_tc else ''}.",
            flush=True,
        )


def register(spec: RunSpec, splits: DataSplits, evaluated: Evaluation) -> None:
    """Register the logged model under the champion rule; logs and prints what changed and why."""
    experiment, weights = spec.experiment, spec.weights
    candidate = registry.Candidate(
        dataset=splits.dataset.name,
        split=experiment.split,
        split_hash=splits.split.hash,
        val_mae=evaluated.metrics["val_mae_final"],
        constant_mae=evaluated.metrics["null_constant_median_val_mae"],
        limit=experiment.limit,
        validation_materials=len(splits.part("val")),
        against_constant=evaluated.val_against_constant,
        quantity=spec.quantity,
    )
    tags = {"weights": weights.name, "weights_license": weights.license}
    extra = list(dict.fromkeys(row.source for row in splits.extra))
    data = data_section(len(splits.materials), splits.dataset.name, extra)
    errors = errors_section(evaluated)
    limits = (LABELS, *LIMITS_OF_ALL) if spec.quantity.is_tc else LIMITS_OF_ALL
    text = card(_what(spec, splits), data, errors, limits)
    register_model(spec.model_family, candidate, tags, text)


def _what(spec: RunSpec, splits: DataSplits) -> str:
    """What was trained, on what, from which weights: one sentence."""
    of = "" if spec.quantity.is_tc else f"of {spec.quantity.label} "
    weights = f", from the weights {spec.weights.name} ({spec.weights.license})"
    return (
        f"A model {of}that reads {get_family(spec.model_family).reads}, trained on "
        f"{len(spec.learned(splits)):,} materials, split `{spec.experiment.split_label}` of "
        f"{splits.dataset.name}{weights if spec.weights.pretrained else ''}."
    )


def register_model(
    model_family: str, candidate: registry.Candidate, tags: Mapping[str, str], card: str
) -> None:
    """Register the active run's logged model, with a card; logs and prints what changed and why."""
    uri = runs.tag(MODEL)
    own = {"trained_by": runs.run_id(), MODEL: uri}
    illustrated = f"{card}\n\n{picture_section(runs.run_id(), candidate.quantity)}"
    messages = registry.register(uri, model_family, candidate, {**tags, **own}, illustrated)
    mlflow.log_text("\n".join(messages), "registry.txt")
    print("\n".join(messages), flush=True)


def _sha256_of_predictor(folder: Path) -> str:
    """One sha256 of all files of a saved predictor except its provenance."""
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != PROVENANCE_FILE]
    found = [(path.name, sha256_of(path)) for path in paths]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
