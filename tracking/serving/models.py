"""A model loaded in this process: structures in, a table of critical temperatures out."""

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from supervision.answer.answer import Answer
from supervision.answer.answerer import Answerer
from supervision.answer.text import answers_text
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.structure_inputs import StructureInput, structure_inputs
from supervision.models.predictor import CONFIG_FILE, PROVENANCE_FILE
from supervision.runtime.errors import one_line
from supervision.runtime.progress import track
from tracking.serving.downloads import download
from tracking.serving.model_code import ModelCode
from tracking.serving.model_names import ModelError, choose_model, store_exists

DEMONSTRATION_DATASET = "classics"
DEMONSTRATION = (
    f"A demonstration: it is trained on the small embedded data set {DEMONSTRATION_DATASET}; its "
    "numbers are examples, not predictions to rely on."
)
STRUCTURES_PER_BATCH = 16  # a row of a table is written, and the progress shown, that often
ROW_PREFIX = re.compile(r"Row \d+: ")  # before the error of a model of an earlier version
TRAINED_MODEL = "model"  # the folder of the predictor in that of a training without MLflow
Ask = Callable[[Sequence[StructureInput]], Sequence[Answer]]


class PredictionTable(pd.DataFrame):
    """A DataFrame of answers, one row each, that prints what a reader needs of them.

    Attributes:
        answers: the answers in their order.
    """

    _metadata: ClassVar = ["answers"]
    answers: list[Answer]

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "PredictionTable":
        """The table with the fields of the answers as columns."""
        table = cls([vars(answer) for answer in answers], columns=list(Answer.__dataclass_fields__))
        table.answers = list(answers)
        return table

    def __repr__(self) -> str:
        return answers_text(self.answers)


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model that predicts Tc.

    Attributes:
        location: its URI or folder.
        reason: why this model is used, one sentence; empty where the user named it.
        description: what the run that trained it was and its test error, in one line; empty where
            that is not known.
        dataset: the name of the data set it is trained on; empty where that is not known.
        ask: the answers to structures that can be read.
    """

    location: str
    reason: str
    description: str
    dataset: str
    ask: Ask = field(compare=False)

    def predict(self, structures: Any) -> PredictionTable:
        """Answers for structures, as a table with the fields of ``Answer`` as columns.

        Args:
            structures: a pymatgen Structure, ASE Atoms, a path of a structure file, a folder or a
                CSV table (column ``cif``, ``path`` or ``formula``), CIF text, or a list of these.

        A structure that cannot be read is a row with its error; ``tc_kelvin`` is NaN there.
        """
        with quiet():
            inputs = structure_inputs(structures)
        batches = self.predict_inputs(inputs)
        return PredictionTable.of([answer for batch in batches for answer in batch])

    def answer(self, structure: Any) -> Answer:
        """The answer for one structure. Raises CrystalError with one sentence for a bad one."""
        found = self.predict(structure).answers
        if len(found) != 1:
            raise CrystalError(f"{len(found)} structures are given; use predict for several.")
        if found[0].error:
            raise CrystalError(found[0].error)
        return found[0]

    def predict_inputs(self, inputs: Sequence[StructureInput]) -> Iterator[list[Answer]]:
        """The answers for structures in their order, batch by batch, with progress on stderr."""
        starts = range(0, len(inputs), STRUCTURES_PER_BATCH)
        batches = [inputs[start : start + STRUCTURES_PER_BATCH] for start in starts]
        for batch in track(
            batches, total=len(inputs), desc="prediction", unit="structure", size=len
        ):
            with quiet():
                rows = self._predict_batch(batch)
            yield rows

    @property
    def is_demonstration(self) -> bool:
        """Whether it is trained on the small embedded data set."""
        return self.dataset == DEMONSTRATION_DATASET

    def summary(self) -> str:
        """Which model this is and why, its test error, and whether it is a demonstration."""
        lines = [f"Model {self.location}", self.reason, self.description]
        return "\n".join(filter(None, [*lines, DEMONSTRATION if self.is_demonstration else ""]))

    def __repr__(self) -> str:
        return self.summary()

    def _predict_batch(self, batch: Sequence[StructureInput]) -> list[Answer]:
        readable = [given for given in batch if not given.error]
        found = iter(self.ask(readable) if readable else ())
        return [
            Answer(given.name, error=given.error)
            if given.error
            else replace(next(found), name=given.name)
            for given in batch
        ]


def load_model(model: str | Path | None = None) -> LoadedModel:
    """Load a model by its registered name, URI or folder; by default the best champion.

    A folder is that of an MLflow model, of a saved predictor, or of a training without MLflow.
    Raises ModelError with one sentence where there is no such model.
    """
    with quiet():
        location, reason = choose_model(model)
        with _loading(location):
            folder = _local_copy(location)
            ask, run_id = _open(folder)
        provenance = _provenance(folder)
        return LoadedModel(
            location, reason, _description(run_id), provenance.get("dataset", ""), ask
        )


def load_answerer(model: str | Path | None = None) -> Answerer:
    """The saved model itself, of a name, URI or folder as for ``load_model``, to look into it.

    It is read by the installed code, not by the code that it was logged with. Raises ModelError
    with one sentence where there is no such model, or this code cannot read it.
    """
    with quiet():
        location, _ = choose_model(model)
        with _loading(location):
            folder = _local_copy(location)
            logged = folder.glob(f"artifacts/*/{CONFIG_FILE}")
            return Answerer.load(_saved_in(folder) or next(logged, folder / CONFIG_FILE).parent)


@contextmanager
def _loading(location: str) -> Iterator[None]:
    """Whatever stops a model from being loaded is one sentence."""
    try:
        yield
    except (MlflowException, OSError, ImportError, ValueError) as error:
        raise ModelError(
            f"The model {location} cannot be loaded ({one_line(error)}); train a model first "
            "or name another one."
        ) from error


def _local_copy(location: str) -> Path:
    return Path(location) if Path(location).is_dir() else download(location)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of libraries: what matters to a user is an error or a row of the table."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _saved_in(folder: Path) -> Path | None:
    """The folder of the predictor that was saved without MLflow, if it is one."""
    places = (folder, folder / TRAINED_MODEL)
    return next((place for place in places if (place / CONFIG_FILE).is_file()), None)


def _open(folder: Path) -> tuple[Ask, str]:
    """The function that answers for the model in a folder, and the id of its run if it has one."""
    if saved := _saved_in(folder):
        return partial(_ask_answerer, Answerer.load(saved)), ""
    code = ModelCode()
    with code.active():
        model = mlflow.pyfunc.load_model(str(folder))

    def ask(inputs: Sequence[StructureInput]) -> list[Answer]:
        """A model of an earlier version refuses the whole request for one bad row."""
        with code.active():
            try:
                found: Any = model.predict(pd.DataFrame([_columns(given) for given in inputs]))
            except MlflowException as error:
                if len(inputs) > 1:
                    return [answer for given in inputs for answer in ask([given])]
                return [Answer("", error=ROW_PREFIX.sub("", str(error)))]
        rows: Any = found.to_dict("records") if isinstance(found, pd.DataFrame) else found
        return [Answer.of_row({"name": "", **row}) for row in rows]

    return ask, model.metadata.run_id or ""


def _columns(given: StructureInput) -> dict[str, str]:
    """A row of a request; models of earlier versions know no other column than ``cif``."""
    return {"cif": given.cif} | ({"formula": given.formula} if given.formula else {})


def _ask_answerer(answerer: Answerer, inputs: Sequence[StructureInput]) -> list[Answer]:
    """What a served model answers, by a saved one with the installed code."""
    return answerer.answer([Crystal(given.name, given.formula, given.cif) for given in inputs])


def _provenance(folder: Path) -> dict[str, Any]:
    """What is saved with a model about its training; empty for a model without it."""
    path = next(folder.rglob(PROVENANCE_FILE), None)
    return json.loads(path.read_text()) if path else {}


def _description(run_id: str) -> str:
    """Name and test error of the run that trained the model; empty where the store lacks it."""
    if not run_id or not store_exists():
        return ""
    try:
        tags = mlflow.get_run(run_id).data.tags
    except MlflowException:
        return ""
    note = tags.get("mlflow.note.content", "").partition("\n")[0]  # none: it ended before its test
    return f"{tags['mlflow.runName']}: {note}" if note else ""
