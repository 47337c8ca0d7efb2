"""A plain folder as the logbook of a training, where there is no tracker.

    run.json         what was asked for, when it began and ended, how large the model is
    data.zip         the materials and their split, without what was prepared of them
    split.csv, rejects.csv, plots/, log.txt
    history.jsonl    an epoch a line, with the time at which it ended
    model/           the predictor, with what it was made from
    predictions.csv  of the validation and the test materials
    checkpoints/     while it is unfinished
    whole.json       the sha256 of all these, written last

What is in it is read again by ``supervision.experiment.finished``.
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
from supervision.experiment.run import Claim, ModelSetup, RunSpec, train
from supervision.experiment.spec import DataSplits, Experiment
from supervision.models.predictor import MADE_FROM
from supervision.models.weights.sources import sha256_of
from supervision.runtime.files import atomic_write
from supervision.runtime.images import save_png
from supervision.runtime.lock import TrainingLock
from supervision.runtime.signals import interrupt_on_signal
from supervision.runtime.text import cell
from supervision.training.callbacks import EpochRecord
from supervision.training.checkpoint import Checkpoints
from supervision.training.resuming import AUTO, open_checkpoints

RUN, DATA, HISTORY, MODEL, PLOTS = "run.json", "data.zip", "history.jsonl", "model", "plots"
SPLIT, REJECTS, PREDICTIONS, LOG = "split.csv", "rejects.csv", "predictions.csv", "log.txt"
WHOLE = "whole.json"
FORMAT = 1
KEPT = (RUN, DATA, HISTORY, MODEL, PLOTS, SPLIT, REJECTS, PREDICTIONS)


class RunFolderError(RuntimeError):
    """A folder that cannot be trained into, or not be brought in; the message says why."""


def train_into_folder(folder: Path, make: Callable[[], tuple[ModelSetup, Experiment]]) -> None:
    """Train into a folder; the same command carries on what was broken off there.

    Raises RunFolderError where a training is finished there already, or something else lies there.
    """
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    if (folder / WHOLE) in there:
        raise RunFolderError(f"{folder} holds a finished training; name another folder.")
    if there and (folder / LOG) not in there:
        raise RunFolderError(f"{folder} holds something else than a training; name another folder.")
    with TrainingLock(str(folder)) as lock, interrupt_on_signal():
        lock.lock_folder(folder)
        with (folder / LOG).open("a") as log, redirect_stdout(_Both(log)):
            try:
                setup, experiment = make()
                _require_own_checkpoints(experiment, folder)
                train(setup, experiment, FolderLogger(folder))
            except BaseException:
                traceback.print_exc(file=log)
                raise


def _require_own_checkpoints(experiment: Experiment, folder: Path) -> None:
    if experiment.checkpoint_dir or experiment.resume != AUTO:
        raise RunFolderError(
            f"out={folder} keeps its checkpoints in itself, and the same command carries on what "
            "is unfinished there: leave checkpoint_dir and resume out."
        )


class FolderLogger:
    """A folder; see ``supervision.experiment.run.RunLogger``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / RUN
        known = json.loads(path.read_text()) if path.is_file() else {}
        new = {"format": FORMAT, "id": uuid4().hex, "began": time.time()}
        self.facts: dict[str, Any] = new | known
        self.epochs = read_history(folder)

    @property
    def run(self) -> str:
        """A name that no other training has."""
        return str(self.facts["id"])

    def describe(self, task: RunSpec) -> None:
        """run.json."""
        self._state(task=asdict(task))

    def rejects(self, rejects: Sequence[Reject]) -> None:
        """rejects.csv."""
        self._table(REJECTS, ("file", "reason"), [(cell(r.name), cell(r.reason)) for r in rejects])

    def inputs(self, task: RunSpec, prepared: DataSplits) -> None:
        """data.zip and split.csv."""
        asked = task.experiment
        made = DatasetSpec(asked.dataset, asked.data, asked.limit, asked.seed, asked.allow_loss)
        split = prepared.split
        archive = Archive(made, prepared.dataset, prepared.materials, {split.kind: split})
        write_archive(self.folder / DATA, archive)
        split.save(self.folder / SPLIT)

    def picture(self, rgb: np.ndarray, name: str) -> None:
        """A PNG file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        save_png(path, rgb)

    def checkpoints(self, task: RunSpec, prepared: DataSplits, claim: Claim) -> Checkpoints:
        """A folder within; what is unfinished there is carried on."""
        folder = str(self.folder / "checkpoints")
        found = open_checkpoints(task.identity(prepared), folder=folder, run=self.run, claim=claim)
        if found.resume:
            print(f"Carrying on what was broken off in {self.folder}.", flush=True)
        return found

    def epoch(self, record: EpochRecord) -> None:
        """history.jsonl; an epoch that was done twice counts as it was done last."""
        if record in [known for known, _ in self.epochs]:
            return
        before = [line for line in self.epochs if line[0].epoch < record.epoch]
        self.epochs = [*before, (record, time.time())]
        lines = [json.dumps(vars(known) | {"time": ended}) for known, ended in self.epochs]
        self._write(HISTORY, "".join(f"{line}\n" for line in lines))

    def note(self, text: str) -> None:
        """run.json and log.txt."""
        self._state(notes=[*self.facts.get("notes", []), text])
        print(text, flush=True)

    def watching(self) -> AbstractContextManager[None]:
        """Nothing here watches the machine."""
        return nullcontext()

    def trained(self, minutes: float, size: Mapping[str, int]) -> None:
        """run.json."""
        self._state(minutes=minutes, size=dict(size))

    def model(self, task: RunSpec, prepared: DataSplits, save: Callable[[Path], object]) -> None:
        """model/, with what it was made from."""
        save(self.folder / MODEL)
        made_from = task.made_from(prepared, self.run)
        self._write(f"{MODEL}/{MADE_FROM}", json.dumps(made_from, indent=1))

    def judge(
        self,
        task: RunSpec,
        prepared: DataSplits,
        predictions: Sequence[Prediction],
        history: Sequence[EpochRecord],
    ) -> None:
        """predictions.csv; they are judged where they are brought in."""
        self._table(PREDICTIONS, Prediction._fields, predictions)

    def finish(self, checkpoints: Checkpoints | None) -> None:
        """whole.json."""
        self._state(ended=time.time())
        self._write(WHOLE, json.dumps(contents(self.folder), indent=1))
        if checkpoints:
            shutil.rmtree(checkpoints.folder)
        print(
            f"{self.folder} is whole. Where MLflow is, python -m entrypoints.import_run "
            f"{self.folder} judges it and brings it in.",
            flush=True,
        )

    def _state(self, **facts: Any) -> None:
        self.facts |= facts
        self._write(RUN, json.dumps(self.facts, indent=1))

    def _table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
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
    roots = [folder / name for name in KEPT]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(files)
        if path.is_file()
    }


class _Both(TextIOBase):
    """What is printed, also in a file."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.screen = file, sys.stdout

    def write(self, text: str) -> int:
        self.file.write(text)
        return self.screen.write(text)

    def flush(self) -> None:
        self.file.flush()
        self.screen.flush()
