"""What the searches among substitutions share: their inputs, and what is done with the result."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from entrypoints.options import MODEL_HELP, output_folder
from supervision.data.errors import DatasetError
from supervision.design.folders import make_empty_folder
from supervision.design.substitutions.folder import write_found
from supervision.design.substitutions.goals import Goal
from supervision.design.substitutions.parents import named_crystals, read_parents
from supervision.design.substitutions.search import SearchOptions, load_calibrated
from supervision.runtime.options import option
from supervision.screening.sources.candidate import Candidate, Skipped
from supervision.screening.sources.parents import dataset_crystals
from tracking.design import log_search
from tracking.explanation import run_if_given
from tracking.serving.models import find_model
from tracking.substitution_search import search


@dataclass(frozen=True)
class InputOptions:
    """Which parents, which model predicts, and where the files are written."""

    paths: tuple[str, ...] = option(
        (), "parent crystals: structure files, folders, CSV tables, archives"
    )
    dataset: str = option("", "also the parents of a data set: 3dsc, classics, a folder, a table")
    data: str = option("", "a local copy of a data set that is named; empty: download")
    model: str = option("", MODEL_HELP)
    out: str = option(
        "",
        "a new or empty folder for the ranking, the figure and CIF files; empty: none, in an "
        "MLflow run its artifacts alone",
    )


def run_search(name: str, inputs: InputOptions, goal: Goal, options: SearchOptions) -> None:
    """Search, print what is found, and write and log it.

    Args:
        name: of the command.
    """
    if not inputs.paths and not inputs.dataset:
        raise DatasetError("Nothing to search: name parent crystals, or a data set by --dataset.")
    with run_if_given(name) as logged, output_folder(inputs.out) as folder:
        make_empty_folder(folder)
        model = find_model(inputs.model)
        print("\n".join(filter(None, [f"Model {model.location}", model.description])), flush=True)
        answerer = load_calibrated(model)
        found = search(answerer, goal, *read_parents(_crystals(inputs)), options)
        print(found)
        if inputs.out or logged:
            write_found(found, folder)
        if inputs.out:
            print(f"\nWrote {len(found.shown)} CIF files, ranking and figure to {inputs.out}.")
        if logged:
            log_search(found, folder, name)


def _crystals(inputs: InputOptions) -> Iterator[Candidate | Skipped]:
    of_dataset = dataset_crystals(inputs.dataset, inputs.data) if inputs.dataset else ()
    return chain(named_crystals(inputs.paths), of_dataset)
