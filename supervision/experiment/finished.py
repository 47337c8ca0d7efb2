"""A folder that a training has finished, read again: all that a tracker must know of it."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervision.data.archive import read_archive
from supervision.evaluation.prediction import Prediction
from supervision.experiment.run import Task
from supervision.experiment.run_folder import (
    DATA,
    FORMAT,
    MODEL,
    PREDICTIONS,
    RUN,
    WHOLE,
    FolderError,
    contents,
    read_history,
)
from supervision.experiment.spec import Experiment, Prepared
from supervision.models.setup import Origin
from supervision.models.weights.sources import sha256_of
from supervision.runtime.errors import one_line
from supervision.training.callbacks import EpochRecord


@dataclass(frozen=True)
class Finished:
    """What a training left in a folder.

    Attributes:
        id: sha256 over all of it.
        began, ended: seconds since 1970.
        history: its epochs, each with the time at which it ended.
    """

    folder: Path
    id: str
    began: float
    ended: float
    minutes: float
    size: Mapping[str, int]
    task: Task
    prepared: Prepared
    history: Sequence[tuple[EpochRecord, float]]
    predictions: Sequence[Prediction]
    notes: Sequence[str]

    @property
    def model(self) -> Path:
        """The folder of the saved predictor."""
        return self.folder / MODEL

    @classmethod
    def read(cls, folder: Path) -> "Finished":
        """Check and read a folder. Raises FolderError for one that is unfinished or damaged."""
        _require_whole(folder)
        facts = json.loads((folder / RUN).read_text())
        if facts["format"] != FORMAT:
            raise FolderError(
                f"{folder} is of format {facts['format']}, and this code reads format {FORMAT}."
            )
        task = _task(facts["task"])
        archive = read_archive(folder / DATA)
        split = archive.split(task.experiment.split)
        return cls(
            folder=folder,
            id=sha256_of(folder / WHOLE),
            began=facts["began"],
            ended=facts["ended"],
            minutes=facts["minutes"],
            size=facts["size"],
            task=task,
            prepared=Prepared(archive.dataset, archive.materials, split),
            history=read_history(folder),
            predictions=_predictions(folder / PREDICTIONS),
            notes=facts.get("notes", []),
        )


def _require_whole(folder: Path) -> None:
    if not (folder / RUN).is_file():
        raise FolderError(f"{folder} holds no training: there is no {RUN} in it.")
    if not (folder / WHOLE).is_file():
        raise FolderError(
            f"The training in {folder} is unfinished: carry it on with the command that began it."
        )
    try:
        written = json.loads((folder / WHOLE).read_text())
    except ValueError as error:
        raise FolderError(f"{folder / WHOLE} is damaged ({one_line(error)}).") from error
    found = contents(folder)
    for name in sorted(written.keys() | found.keys()):
        if written.get(name) != found.get(name):
            what = "missing" if name not in found else "not as the training left it"
            raise FolderError(f"{folder} is damaged: {name} is {what}; copy it again.")


def _task(facts: dict[str, Any]) -> Task:
    experiment, origin = Experiment(**facts.pop("experiment")), Origin(**facts.pop("origin"))
    return Task(experiment=experiment, origin=origin, **facts)


def _predictions(path: Path) -> list[Prediction]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [Prediction(id, of, part, float(tc), float(said)) for id, of, part, tc, said in rows]
