"""A folder that a training has finished, read again: all that a tracker must know of it."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervision.data.archive import read_archive
from supervision.evaluation.prediction import Prediction
from supervision.experiment.run import RunSpec
from supervision.experiment.run_folder import (
    DATA,
    FORMAT,
    MODEL,
    PREDICTIONS,
    RUN,
    WHOLE,
    RunFolderError,
    contents,
    read_history,
)
from supervision.experiment.spec import DataSplits, Experiment
from supervision.models.setup import WeightsInfo
from supervision.models.weights.sources import sha256_of
from supervision.runtime.errors import one_line
from supervision.training.callbacks import EpochRecord


@dataclass(frozen=True)
class FinishedRun:
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
    task: RunSpec
    prepared: DataSplits
    history: Sequence[tuple[EpochRecord, float]]
    predictions: Sequence[Prediction]
    notes: Sequence[str]

    @property
    def model(self) -> Path:
        """The folder of the saved predictor."""
        return self.folder / MODEL

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Check and read a folder. Raises RunFolderError for one that is unfinished or damaged."""
        _require_whole(folder)
        facts = json.loads((folder / RUN).read_text())
        if facts["format"] != FORMAT:
            raise RunFolderError(
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
            prepared=DataSplits(archive.dataset, archive.materials, split),
            history=read_history(folder),
            predictions=_predictions(folder / PREDICTIONS),
            notes=facts.get("notes", []),
        )


def _require_whole(folder: Path) -> None:
    if not (folder / RUN).is_file():
        raise RunFolderError(f"{folder} holds no training: there is no {RUN} in it.")
    if not (folder / WHOLE).is_file():
        raise RunFolderError(
            f"The training in {folder} is unfinished: carry it on with the command that began it."
        )
    try:
        written = json.loads((folder / WHOLE).read_text())
    except ValueError as error:
        raise RunFolderError(f"{folder / WHOLE} is damaged ({one_line(error)}).") from error
    found = contents(folder)
    for name in sorted(written.keys() | found.keys()):
        if written.get(name) != found.get(name):
            what = "missing" if name not in found else "not as the training left it"
            raise RunFolderError(f"{folder} is damaged: {name} is {what}; copy it again.")


def _task(facts: dict[str, Any]) -> RunSpec:
    experiment, origin = Experiment(**facts.pop("experiment")), WeightsInfo(**facts.pop("origin"))
    return RunSpec(experiment=experiment, origin=origin, **facts)


def _predictions(path: Path) -> list[Prediction]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [Prediction(id, of, part, float(tc), float(said)) for id, of, part, tc, said in rows]
