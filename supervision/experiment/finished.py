"""Reads the folder of a finished training: everything that an import into MLflow needs."""

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
from supervision.runtime.errors import one_line
from supervision.runtime.files import sha256_of
from supervision.training.callbacks import EpochRecord


@dataclass(frozen=True)
class FinishedRun:
    """What a training wrote into a folder.

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
    spec: RunSpec
    splits: DataSplits
    history: Sequence[tuple[EpochRecord, float]]
    predictions: Sequence[Prediction]
    notes: Sequence[str]

    @property
    def model(self) -> Path:
        """The folder of the saved predictor."""
        return self.folder / MODEL

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Check and read a folder.

        Raises RunFolderError for one that is unfinished, damaged or of another version.
        """
        _require_complete(folder)
        facts = json.loads((folder / RUN).read_text())
        if facts["format"] != FORMAT:
            raise RunFolderError(
                f"{folder} is of format {facts['format']}, and this code reads format {FORMAT}: "
                "import it with the version of this project that trained it."
            )
        spec = _read_spec(facts["spec"])
        archive = read_archive(folder / DATA)
        split = archive.split(spec.experiment.split)
        return cls(
            folder=folder,
            id=sha256_of(folder / WHOLE),
            began=facts["began"],
            ended=facts["ended"],
            minutes=facts["minutes"],
            size=facts["size"],
            spec=spec,
            splits=DataSplits(archive.dataset, archive.materials, split),
            history=read_history(folder),
            predictions=_read_predictions(folder / PREDICTIONS),
            notes=facts.get("notes", []),
        )


def _require_complete(folder: Path) -> None:
    if not (folder / RUN).is_file():
        raise RunFolderError(f"{folder} holds no training: there is no {RUN} in it.")
    if not (folder / WHOLE).is_file():
        raise RunFolderError(
            f"The training in {folder} is unfinished: resume it with the command that began it."
        )
    try:
        written = json.loads((folder / WHOLE).read_text())
    except ValueError as error:
        raise RunFolderError(f"{folder / WHOLE} is damaged ({one_line(error)}).") from error
    found = contents(folder)
    for name in sorted(written.keys() | found.keys()):
        if written.get(name) != found.get(name):
            fault = "is missing" if name not in found else "has changed since the training"
            raise RunFolderError(f"{folder} is damaged: {name} {fault}; copy it again.")


def _read_spec(facts: dict[str, Any]) -> RunSpec:
    experiment, weights = Experiment(**facts.pop("experiment")), WeightsInfo(**facts.pop("weights"))
    return RunSpec(experiment=experiment, weights=weights, **facts)


def _read_predictions(path: Path) -> list[Prediction]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [
        Prediction(id, formula, part, float(tc), float(tc_pred))
        for id, formula, part, tc, tc_pred in rows
    ]
