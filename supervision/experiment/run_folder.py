"""A plain folder as the logger of a training, where MLflow is not installed.

    run.json         what is trained, when it began and ended, how large the model is
    data.zip         the materials and their split, without their features
    split.csv, rejects.csv, plots/, log.txt
    history.jsonl    one line per epoch, with the time at which it ended
    model/           the predictor, with its provenance
    predictions.csv  of the validation and test materials
    checkpoints/     while it is unfinished
    whole.json       the sha256 of all these, written last

``supervision.experiment.finished`` reads it.
"""

import csv
import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import asdict
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

import numpy as np

from supervision.data.archive import Archive, DatasetSpec, write_archive
from supervision.data.crystals import Reject
from supervision.evaluation.prediction import Prediction
from supervision.experiment.run import LockFolder, RunSpec, run_training
from supervision.experiment.spec import DataSplits, Experiment
from supervision.models.predictor import PROVENANCE_FILE
from supervision.models.setup import ModelSetup
from supervision.runtime.errors import ExpectedError
from supervision.runtime.files import atomic_write, sha256_of
from supervision.runtime.images import save_png
from supervision.runtime.lock import TrainingLock
from supervision.runtime.signals import interrupt_on_signal
from supervision.runtime.text import csv_cell
from supervision.training.callbacks import EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.resuming import AUTO, open_checkpoints

RUN, DATA, HISTORY, MODEL, PLOTS = "run.json", "data.zip", "history.jsonl", "model", "plots"
SPLIT, REJECTS, PREDICTIONS, LOG = "split.csv", "rejects.csv", "predictions.csv", "log.txt"
WHOLE = "whole.json"
FORMAT = 2
CONTENTS = (RUN, DATA, HISTORY, MODEL, PLOTS, SPLIT, REJECTS, PREDICTIONS)


class RunFolderError(ExpectedError):
    """A folder that cannot be trained into, or not be imported; the message says why."""


def train_into_folder(folder: Path, make: Callable[[], tuple[ModelSetup, Experiment]]) -> None:
    """Train into a folder; the same command resumes what is unfinished there.

    Raises RunFolderError where the folder holds a finished training or something else.
    """
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if (folder / WHOLE) in found:
        raise RunFolderError(f"{folder} holds a finished training; name another folder.")
    if found and (folder / LOG) not in found:
        raise RunFolderError(f"{folder} holds something else than a training; name another folder.")
    with TrainingLock(str(folder)) as lock, interrupt_on_signal():
        lock.lock_folder(folder)
        with (folder / LOG).open("a") as log, redirect_stdout(_Tee(log)):
            try:
                setup, experiment = make()
                _require_own_checkpoints(experiment, folder)
                run_training(setup, experiment, FolderLogger(folder))
            except BaseException:
                traceback.print_exc(file=log)
                raise


def _require_own_checkpoints(experiment: Experiment, folder: Path) -> None:
    if experiment.checkpoint_dir or experiment.resume != AUTO:
        raise RunFolderError(
            f"out={folder} has its checkpoints in itself, and the same command resumes what is "
            "unfinished there: leave checkpoint_dir and resume out."
        )


class FolderLogger:
    """Records a training in a folder; see ``supervision.experiment.run.RunLogger``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / RUN
        known = json.loads(path.read_text()) if path.is_file() else {}
        new = {"format": FORMAT, "id": uuid4().hex, "began": time.time()}
        self.facts: dict[str, Any] = new | known
        self.epochs = read_history(folder)

    @property
    def run_id(self) -> str:
        """An id that no other training has."""
        return str(self.facts["id"])

    def log_spec(self, spec: RunSpec) -> None:
        """run.json."""
        self._update(spec=asdict(spec))

    def log_rejects(self, rejects: Sequence[Reject]) -> None:
        """rejects.csv."""
        rows = [(csv_cell(r.name), csv_cell(r.reason)) for r in rejects]
        self._write_table(REJECTS, ("file", "reason"), rows)

    def log_data(self, spec: RunSpec, splits: DataSplits) -> None:
        """data.zip and split.csv."""
        asked = spec.experiment
        dataset_spec = DatasetSpec(
            asked.dataset, asked.data, asked.limit, asked.seed, asked.allow_loss
        )
        split = splits.split
        archive = Archive(dataset_spec, splits.dataset, splits.materials, {split.kind: split})
        write_archive(self.folder / DATA, archive)
        split.save(self.folder / SPLIT)

    def log_image(self, rgb: np.ndarray, name: str) -> None:
        """A PNG file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        save_png(path, rgb)

    def open_checkpoints(
        self, spec: RunSpec, splits: DataSplits, lock_folder: LockFolder
    ) -> Checkpoints:
        """A folder within this one; an unfinished training there is resumed."""
        found = open_checkpoints(
            spec.identity(splits),
            folder=str(self.folder / "checkpoints"),
            run=self.run_id,
            lock_folder=lock_folder,
        )
        if found.resume:
            print(f"Resuming the unfinished training in {self.folder}.", flush=True)
        return found

    def log_epoch(self, record: EpochRecord) -> None:
        """history.jsonl; an epoch that was trained twice is recorded as the second time."""
        if record in [known for known, _ in self.epochs]:
            return
        before = [line for line in self.epochs if line[0].epoch < record.epoch]
        self.epochs = [*before, (record, time.time())]
        lines = [json.dumps(vars(known) | {"time": ended}) for known, ended in self.epochs]
        self._write(HISTORY, "".join(f"{line}\n" for line in lines))

    def log_note(self, text: str) -> None:
        """run.json and log.txt."""
        self._update(notes=[*self.facts.get("notes", []), text])
        print(text, flush=True)

    def monitor_system(self) -> AbstractContextManager[None]:
        """A folder has no system metrics."""
        return nullcontext()

    def log_training(self, minutes: float, size: Mapping[str, int]) -> None:
        """run.json."""
        self._update(minutes=minutes, size=dict(size))

    def log_model(
        self,
        spec: RunSpec,
        splits: DataSplits,
        save: Callable[[Path], object],
        held_out: Sequence[Prediction],
    ) -> None:
        """model/, with its provenance; the import adds the answer data, which need pymatgen."""
        save(self.folder / MODEL)
        provenance = spec.provenance(splits, self.run_id)
        self._write(f"{MODEL}/{PROVENANCE_FILE}", json.dumps(provenance, indent=1))

    def log_evaluation(
        self,
        spec: RunSpec,
        splits: DataSplits,
        predictions: Sequence[Prediction],
        history: Sequence[EpochRecord],
    ) -> None:
        """predictions.csv; the import evaluates them."""
        self._write_table(PREDICTIONS, Prediction._fields, predictions)

    def finish(self, checkpoints: Checkpoints | None) -> None:
        """whole.json."""
        self._update(ended=time.time())
        self._write(WHOLE, json.dumps(contents(self.folder), indent=1))
        if checkpoints:
            shutil.rmtree(checkpoints.folder)
        print(
            f"{self.folder} is complete. Where MLflow is installed, python -m "
            f"entrypoints.import_run {self.folder} evaluates and imports it.",
            flush=True,
        )

    def _update(self, **facts: Any) -> None:
        self.facts |= facts
        self._write(RUN, json.dumps(self.facts, indent=1))

    def _write_table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        with (self.folder / name).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    def _write(self, name: str, text: str) -> None:
        with atomic_write(self.folder / name) as file:
            file.write(text.encode())


def read_history(folder: Path) -> list[tuple[EpochRecord, float]]:
    """The epochs in a folder, each with the time at which it ended (seconds since 1970)."""
    path, found = folder / HISTORY, []
    for line in path.read_text().splitlines() if path.is_file() else ():
        facts = json.loads(line)
        ended = facts.pop("time")
        found.append((EpochRecord(**facts), ended))
    return found


def contents(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a training, by its path in the folder."""
    roots = [folder / name for name in CONTENTS]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(files)
        if path.is_file()
    }


class _Tee(TextIOBase):
    """Writes to a file and to standard output."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.screen = file, sys.stdout

    def write(self, text: str) -> int:
        self.file.write(text)
        return self.screen.write(text)

    def flush(self) -> None:
        self.file.flush()
        self.screen.flush()
