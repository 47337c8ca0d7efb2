"""An MLflow run as the logbook of a training: everything logged, the model judged, registered."""

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
import pandas as pd

from supervision.data.crystals import Reject
from supervision.evaluation.prediction import Prediction
from supervision.experiment import run as road
from supervision.experiment.run import Claim, ModelSetup, RunSpec
from supervision.experiment.spec import DataSplits, Experiment
from supervision.models.predictor import MADE_FROM
from supervision.models.weights.sources import sha256_of
from supervision.training.callbacks import EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.resuming import open_checkpoints, own_folder
from tracking import runs
from tracking.evaluation_report import log_evaluation, null_predictions, summary
from tracking.inputs import log_inputs
from tracking.serving import registry
from tracking.system_metrics import watched

MODEL, CONTENT = "model_uri", "model_sha256"  # tags


def train(setup: ModelSetup, experiment: Experiment) -> None:
    """Train in the active run, judge once on test, log everything, register.

    Raises BusyError where another training is in the way.
    """
    road.train(setup, experiment, MLflowLogger())


class MLflowLogger:
    """The active run; see ``supervision.experiment.run.RunLogger``."""

    @property
    def run(self) -> str:
        """Its id."""
        return runs.run_id()

    def describe(self, task: RunSpec) -> None:
        """Params and tags."""
        runs.describe(task.params(), task.tags())

    def rejects(self, rejects: Sequence[Reject]) -> None:
        """rejects.csv."""
        runs.log_rejects(rejects)

    def inputs(self, task: RunSpec, prepared: DataSplits) -> None:
        """Hashes, counts, the materials and the split; and now that it is known, the name."""
        data = prepared.dataset.name
        mlflow.set_tags({"mlflow.runName": task.title(data), "dataset": data})
        log_inputs(prepared, task.origin)

    def picture(self, rgb: np.ndarray, name: str) -> None:
        """A PNG artifact."""
        runs.log_picture(rgb, name)

    def checkpoints(self, task: RunSpec, prepared: DataSplits, claim: Claim) -> Checkpoints:
        """An unfinished training is carried on under its own run."""
        checkpoints = open_checkpoints(
            task.identity(prepared),
            folder=task.experiment.checkpoint_dir,
            resume=task.experiment.resume,
            run=self.run,
            known=runs.is_unfinished,
            claim=claim,
        )
        if checkpoints.resume and runs.is_unfinished(checkpoints.run):
            print(f"Carrying on run {checkpoints.run}.", flush=True)
            runs.resume_run(checkpoints.run)
            self.describe(task)  # what may differ from what it was
        elif checkpoints.resume:  # more epochs for one that has ended, in a run of their own
            mlflow.set_tag("resumes", checkpoints.run)
            checkpoints.run = self.run
        print(f"Checkpoints: {checkpoints.folder}", flush=True)
        mlflow.set_tag("checkpoints", str(checkpoints.folder))
        return checkpoints

    @cached_property
    def epochs(self) -> set[int]:
        """Those that the run had when this process came to its first."""
        return runs.logged_epochs()

    def epoch(self, record: EpochRecord) -> None:
        """Metrics with the epoch as their step."""
        if record.epoch not in self.epochs:
            runs.log_epoch(record)

    def note(self, text: str) -> None:
        """A line of the tag ``notes``."""
        runs.log_note(text)

    def watching(self) -> AbstractContextManager[None]:
        """System metrics."""
        return watched(self.run)

    def trained(self, minutes: float, size: Mapping[str, int]) -> None:
        """A metric and params."""
        runs.log_metrics({"train_minutes": minutes})
        runs.log_params(size)

    def model(self, task: RunSpec, prepared: DataSplits, save: Callable[[Path], object]) -> None:
        """Log the model with what it was made from, once: the run may be carried on from here."""
        with tempfile.TemporaryDirectory() as room:
            folder = Path(room) / "predictor"
            save(folder)
            content = _content(folder)
            if runs.tag(CONTENT) == content:
                return
            made_from = task.made_from(prepared, self.run)
            (folder / MADE_FROM).write_text(json.dumps(made_from, indent=1))
            example = prepared.part("test")[0].crystals[0].cif
            uri = registry.log_predictor(folder, task.model_family, example, task.origin.license)
        mlflow.set_tags({MODEL: uri, CONTENT: content})

    def judge(
        self,
        task: RunSpec,
        prepared: DataSplits,
        predictions: Sequence[Prediction],
        history: Sequence[EpochRecord],
    ) -> None:
        """Metrics, tables and plots; then register, if that is wanted."""
        table, nulls = pd.DataFrame(predictions), null_predictions(prepared)
        judged = log_evaluation(table, nulls, history, task.title(prepared.dataset.name))
        if task.experiment.register:
            register(task, prepared, judged)
        else:
            print("Not registered (register=false).", flush=True)

    def finish(self, checkpoints: Checkpoints | None) -> None:
        """Checkpoints are deleted, unless the user chose where they are."""
        if checkpoints:
            checkpoints.finish()
            if checkpoints.folder.parent == own_folder():
                shutil.rmtree(checkpoints.folder, ignore_errors=True)
                mlflow.delete_tag("checkpoints")
        print(f"Run {self.run}", flush=True)


def _content(folder: Path) -> str:
    """One sha256 of all files of a saved predictor, but for what it was made from."""
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MADE_FROM]
    found = [(path.name, sha256_of(path)) for path in paths]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def register(task: RunSpec, prepared: DataSplits, judged: Mapping[str, float]) -> None:
    """Register the logged model under the champion rule, and say what moved or why not."""
    experiment, origin = task.experiment, task.origin
    candidate = registry.Candidate(
        dataset=prepared.dataset.name,
        split=experiment.split,
        split_hash=prepared.split.hash,
        val_mae=judged["val_mae_final"],
        null_mae=judged["null_constant_median_val_mae"],
        limit=experiment.limit,
        judged_on=len(prepared.part("val")),
    )
    tags = {
        "weights": origin.weights,
        "weights_license": origin.license,
        "trained_by": runs.run_id(),
        MODEL: runs.tag(MODEL),
    }
    description = (
        f"{task.model_family} on {prepared.dataset.name} ({len(prepared.materials)} materials), "
        f"{experiment.split} split, weights {origin.weights} ({origin.license}). " + summary(judged)
    )
    said = registry.register(tags[MODEL], task.model_name, candidate, tags, description)
    mlflow.log_text("\n".join(said), "registry.txt")
    print("\n".join(said), flush=True)
