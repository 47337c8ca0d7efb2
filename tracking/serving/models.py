"""A model loaded in this process: structures in, a table of critical temperatures out."""

import json
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.structure_inputs import StructureInput, structure_inputs
from supervision.models.families import load_predictor
from supervision.models.predictor import CONFIG_FILE, PROVENANCE_FILE, SavedPredictor
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
ROW_ERROR = re.compile(r"Row (\d+): (.*)", re.DOTALL)  # of a model, for a row that it refuses
TRAINED_MODEL = "model"  # the folder of the predictor in that of a training without MLflow
Ask = Callable[[Sequence[str]], Sequence[float]]


class PredictionRow(NamedTuple):
    """What is predicted for one structure: Tc in kelvin, or NaN and the error.

    The formula is that of the unit cell, reduced; empty where the structure cannot be read.
    """

    name: str
    formula: str
    tc_kelvin: float
    error: str


class PredictionTable(pd.DataFrame):
    """A DataFrame that prints all its columns in full, however wide the terminal is."""

    def __repr__(self) -> str:
        return self.to_string()


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model that predicts Tc.

    Attributes:
        location: its URI or folder.
        reason: why this model is used, one sentence; empty where the user named it.
        description: what the run that trained it was and its test error, in one line; empty where
            that is not known.
        dataset: the name of the data set it is trained on; empty where that is not known.
        ask: CIF texts -> Tc in kelvin; raises CrystalError ("Row 0: ...") for the first bad one.
    """

    location: str
    reason: str
    description: str
    dataset: str
    ask: Ask = field(compare=False)

    def predict(self, structures: Any) -> PredictionTable:
        """Tc of structures, as a table with the columns name, formula, tc_kelvin and error.

        Args:
            structures: a pymatgen Structure, ASE Atoms, a path of a structure file, a folder or a
                CSV table (column ``cif`` or ``path``), CIF text, or a list of these.

        A structure that cannot be read is a row with its error; ``tc_kelvin`` is NaN there.
        """
        with quiet():
            inputs = structure_inputs(structures)
        rows = [row for batch in self.predict_inputs(inputs) for row in batch]
        return PredictionTable(rows, columns=list(PredictionRow._fields))

    def predict_inputs(self, inputs: Sequence[StructureInput]) -> Iterator[list[PredictionRow]]:
        """The rows of structures in their order, batch by batch, with progress on standard error.

        A structure that the model refuses does not affect the others of its batch.
        """
        starts = range(0, len(inputs), STRUCTURES_PER_BATCH)
        batches = [inputs[start : start + STRUCTURES_PER_BATCH] for start in starts]
        for batch in track(
            batches, total=len(inputs), desc="prediction", unit="structure", size=len
        ):
            with quiet():
                rows = self._predict_batch(batch)
            yield rows

    def predict_tc(self, cif: str) -> float:
        """Tc in kelvin of one CIF text. Raises CrystalError with one sentence."""
        try:
            return float(self.ask([cif])[0])
        except CrystalError as error:
            raise CrystalError(ROW_ERROR.sub(r"\2", str(error))) from error

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

    def _predict_batch(self, batch: Sequence[StructureInput]) -> list[PredictionRow]:
        """Structures that this code reads are one request; each of the others is its own."""
        formulas = [_formula(given) for given in batch]
        answers: dict[int, float | str] = {i: b.error for i, b in enumerate(batch) if b.error}
        readable = [i for i, formula in enumerate(formulas) if formula]
        doubtful = [i for i in range(len(batch)) if i not in answers and not formulas[i]]
        for rows in (readable, *([i] for i in doubtful)):
            answers |= self._predict_each({i: batch[i].cif for i in rows})
        return [
            PredictionRow(given.name, formula, math.nan, answer)
            if isinstance(answer := answers[i], str)
            else PredictionRow(given.name, formula, answer, "")
            for i, (given, formula) in enumerate(zip(batch, formulas, strict=True))
        ]

    def _predict_each(self, cifs: Mapping[int, str]) -> dict[int, float | str]:
        """Tc or the error of each text; a refused row is removed and the rest asked again."""
        waiting, answers = list(cifs), dict[int, float | str]()
        while waiting:
            try:
                found = self.ask([cifs[i] for i in waiting])
            except CrystalError as error:
                match = ROW_ERROR.fullmatch(str(error))
                if match:
                    answers[waiting.pop(int(match[1]))] = match[2]
                elif len(waiting) == 1:
                    answers[waiting.pop()] = str(error)
                else:
                    for i in waiting:
                        answers |= self._predict_each({i: cifs[i]})
                    return answers
            else:
                return answers | dict(zip(waiting, map(float, found), strict=True))
        return answers


def load_model(model: str | Path | None = None) -> LoadedModel:
    """Load a model by its registered name, URI or folder; by default the best champion.

    A folder is that of an MLflow model, of a saved predictor, or of a training without MLflow.
    Raises ModelError with one sentence where there is no such model.
    """
    with quiet():
        location, reason = choose_model(model)
        try:
            folder = Path(location) if Path(location).is_dir() else download(location)
            ask, run_id = _open(folder)
        except (MlflowException, OSError, ImportError, ValueError) as error:
            raise ModelError(
                f"The model {location} cannot be loaded ({one_line(error)}); train a model first "
                "or name another one."
            ) from error
        provenance = _provenance(folder)
        return LoadedModel(
            location, reason, _description(run_id), provenance.get("dataset", ""), ask
        )


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


def _open(folder: Path) -> tuple[Ask, str]:
    """The function that answers for the model in a folder, and the id of its run if it has one."""
    for saved in (folder, folder / TRAINED_MODEL):
        if (saved / CONFIG_FILE).is_file():
            return partial(_ask_predictor, load_predictor(saved)), ""
    code = ModelCode()
    with code.active():
        model = mlflow.pyfunc.load_model(str(folder))

    def ask(cifs: Sequence[str]) -> Sequence[float]:
        with code.active():
            try:
                predicted: Any = model.predict(pd.DataFrame({"cif": list(cifs)}))
            except MlflowException as error:
                raise CrystalError(str(error)) from error
        return list(predicted["tc_kelvin"])

    return ask, model.metadata.run_id or ""


def _ask_predictor(predictor: SavedPredictor, cifs: Sequence[str]) -> Sequence[float]:
    """What a served model answers, by a predictor with the installed code."""
    crystals = [Crystal(f"Row {row}", "", cif) for row, cif in enumerate(cifs)]
    return [float(tc) for tc in predictor.predict(crystals)]


def _formula(given: StructureInput) -> str:
    """The reduced formula of the cell; empty for what this code cannot read."""
    if given.error:
        return ""
    try:
        return Crystal(given.name, "", given.cif).structure.composition.reduced_formula
    except CrystalError:
        return ""


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
