"""A model loaded in this process: structures in, a table of critical temperatures out."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from supervision.answer.answer import Answer
from supervision.answer.answerer import Answerer
from supervision.answer.known import KnownMaterials
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.quantity import TC, Quantity
from supervision.data.structure_inputs import StructureInput, structure_inputs
from supervision.models.predictor import CONFIG_FILE, PROVENANCE_FILE
from supervision.runtime.errors import one_line
from supervision.runtime.progress import track

if TYPE_CHECKING:
    from supervision.answer.table import PredictionTable

DEMONSTRATION_DATASET = "classics"
DEMONSTRATION = (
    f"A demonstration: it is trained on the small embedded data set {DEMONSTRATION_DATASET}; its "
    "numbers are examples, not predictions to rely on."
)
STRUCTURES_PER_BATCH = 16  # a row of a table is written, and the progress shown, that often
LOADING_ERRORS: tuple[type[Exception], ...] = (OSError, ImportError, ValueError)
TRAINED_MODEL = "model"  # the folder of the predictor in that of a training without MLflow
Ask = Callable[[Sequence[StructureInput]], Sequence[Answer]]


class ModelError(ValueError):
    """A model that is not available; the message is one sentence that says what to do."""


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model that predicts Tc or another quantity.

    Attributes:
        location: its URI or folder; of a released model, its name and version.
        reason: why this model is used, one sentence; empty where the user named it.
        description: what the run that trained it was and its test error, in one line; empty where
            that is not known.
        dataset: the name of the data set it is trained on; empty where that is not known.
        ask: the answers to structures that can be read.
        known: the materials that it has learned from; None for a model that was saved without.
        quantity: what it predicts.
    """

    location: str
    reason: str
    description: str
    dataset: str
    ask: Ask = field(compare=False)
    known: KnownMaterials | None = field(default=None, compare=False)
    quantity: Quantity = TC

    def predict(self, structures: Any) -> "PredictionTable":
        """Answers for structures, as a table with the fields of ``Answer`` as columns.

        Those of another quantity than Tc have its name, see ``supervision.answer.columns``.

        Args:
            structures: a pymatgen Structure, ASE Atoms, a path of a structure file, a folder or a
                CSV table (column ``cif``, ``path`` or ``formula``), CIF text, or a list of these.

        A structure that cannot be read is a row with its error; ``tc_kelvin`` is NaN there.
        """
        with quiet():
            from supervision.answer.table import PredictionTable  # answers alone need no pandas
        return PredictionTable.of(self._answers(structures))

    def answer(self, structure: Any) -> Answer:
        """The answer for one structure. Raises CrystalError with one sentence for a bad one."""
        found = self._answers(structure)
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

    def _answers(self, structures: Any) -> list[Answer]:
        with quiet():
            inputs = structure_inputs(structures)
        return [answer for batch in self.predict_inputs(inputs) for answer in batch]

    def _predict_batch(self, batch: Sequence[StructureInput]) -> list[Answer]:
        readable = [given for given in batch if not given.error]
        found = iter(self.ask(readable) if readable else ())
        return [
            Answer(given.name, error=given.error, quantity=self.quantity)
            if given.error
            else replace(next(found), name=given.name)
            for given in batch
        ]


class SavedModel(NamedTuple):
    """A predictor that was saved without MLflow: its folder, and what a LoadedModel says of it."""

    folder: Path
    location: str
    description: str = ""


def load_saved(saved: SavedModel, reason: str) -> LoadedModel:
    """A saved predictor as a model to ask; the installed code answers.

    Raises ModelError where this code cannot read it.
    """
    folder, location, description = saved
    with loading(location):
        answerer = Answerer.load(folder)
        ask = partial(_ask_answerer, answerer)
        dataset = dataset_of(folder)
        return LoadedModel(
            location, reason, description, dataset, ask, answerer.known, answerer.quantity
        )


def saved_in(folder: Path) -> SavedModel | None:
    """The predictor that was saved without MLflow in a folder, if there is one."""
    for place in (folder, folder / TRAINED_MODEL):
        if (place / CONFIG_FILE).is_file():
            return SavedModel(place, str(folder))
    return None


def dataset_of(folder: Path) -> str:
    """The name of the data set that the model in a folder is trained on; empty if not known."""
    return str(_provenance(folder).get("dataset", ""))


def quantity_of(folder: Path) -> Quantity:
    """What the model in a folder predicts."""
    return Quantity.of_model(_provenance(folder))


def _provenance(folder: Path) -> dict[str, Any]:
    path = next(folder.rglob(PROVENANCE_FILE), None)
    return dict(json.loads(path.read_text())) if path else {}


@contextmanager
def loading(location: str, *errors: type[Exception]) -> Iterator[None]:
    """Within, whatever stops a model from being loaded is a ModelError; also these ``errors``."""
    try:
        yield
    except LOADING_ERRORS + errors as error:
        raise ModelError(
            f"The model {location} cannot be loaded ({one_line(error)}); train a model first "
            "or name another one."
        ) from error


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


def _ask_answerer(answerer: Answerer, inputs: Sequence[StructureInput]) -> list[Answer]:
    """What a served model answers, by a saved one with the installed code."""
    return answerer.answer([Crystal(given.name, given.formula, given.cif) for given in inputs])
