"""The report of the comparison, from the first sentence to the last figure."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import TimeoutExpired

import mlflow

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.models.vision.contact_sheet import contact_sheet_of
from supervision.runtime.errors import one_line
from supervision.runtime.images import png_of
from tracking import runs
from tracking.comparison import plots as figures
from tracking.comparison.html_page import Page
from tracking.comparison.results import Result, model_place
from tracking.comparison.tables import (
    band_table,
    cost_table,
    expectation_table,
    joint_table,
    main_table,
    pair_table,
    preferred,
    published_table,
    rank_correlation,
    sentences,
    splits_of,
)
from tracking.serving.timing import milliseconds


def publish(results: Sequence[Result], timed: int, out: Path | None) -> None:
    """Write the report into the active run, and to ``out`` (.md) where that is wanted.

    Each model is timed on ``timed`` crystals; 0 leaves that out.
    """
    page = report(results, timings_of(results, timed))
    with tempfile.TemporaryDirectory() as room:
        page.write(Path(room) / "comparison.md")
        mlflow.log_artifacts(room)
    if out:
        page.write(out)
    said = sentences(results)
    splits = {r.split: r.split_hash for r in results}
    runs.log_params(
        {"runs": ",".join(r.id for r in results if r.id)}
        | {"dataset_hash": results[0].params["dataset_hash"]}
        | {f"split_hash_{split}": value for split, value in splits.items()}
    )
    mlflow.set_tags({"model_family": "comparison", "mlflow.note.content": "\n\n".join(said)})
    print(*said, f"Run {runs.run_id()}", sep="\n", flush=True)


def report(results: Sequence[Result], timings: dict[str, str]) -> Page:
    """The page; ``timings`` are what ``timings_of`` says."""
    page = Page("Comparison of models")
    page.text(
        "Written by `mlflow run . -e compare --env-manager local -P runs=ID,ID,...`, the runs as "
        "listed below with what they took; models without a run are predictions given with "
        "`beside=FILE.csv,...`."
    )
    page.bullets(sentences(results))
    page.text(
        "A difference shows where the 95% interval of the paired bootstrap over materials leaves "
        "out zero. Of twenty pairs that are alike, one will show by chance. Each model was chosen "
        "on validation; the order below is by test."
    )
    table = main_table(results)
    page.table(table)
    page.keep("table", figures.table(table, "Test errors with 95% intervals"))
    page.heading("Predicted and measured")
    page.picture("scatter", figures.scatter(results), "Of each paradigm what validation prefers")
    for split in splits_of(results):
        page.picture(f"parity_{split}", figures.parity(results, split), f"All models, {split}")
    page.picture("residuals", figures.residuals(results), "Errors and bias")
    page.heading("By measured Tc")
    for split in splits_of(results):
        page.text(f"`{split}`:")
        page.table(band_table(results, split))
    page.heading("By predicted Tc: what to expect of a prediction")
    for split in splits_of(results):
        for model in filter(None, preferred(results, split)):
            rank = f"rank correlation (Spearman) {rank_correlation(model):.2f}"
            page.table(expectation_table(model), folded=f"{model.name}, {split}, {rank}")
    page.heading("With the bar: does a model know what trees on composition do not?")
    for split in splits_of(results):
        joint = joint_table(results, split)
        if not joint.empty:
            page.text(f"`{split}`:")
            page.table(joint)
    page.text(
        "The plain mean of two predictions, no weight fitted. Two models of equal error gain by "
        "being averaged wherever they err apart, so read a row beside those of the other trees."
    )
    page.heading("Every pair")
    for split in splits_of(results):
        page.table(pair_table(results, split), folded=f"Paired differences on {split}")
    page.heading("How they learned, and what it took")
    page.picture("curves", figures.curves(results), "Validation MAE by epoch")
    page.table(cost_table(results, timings))
    page.text(
        "Milliseconds a crystal: from CIF text to Tc, one crystal after the other, the mean over "
        "the same crystals for all, each model in a process of its own with the code it was logged "
        "with, measured while this report was made, on a GPU only where there is one."
    )
    page.heading("What others report")
    page.text("On other data or another split: for orientation, not for comparison.")
    page.table(published_table())
    if any(result.model_family == "vision" for result in results):
        page.heading("What the vision models see")
        sheet = contact_sheet_of(group_materials(load_dataset("classics").crystals))
        page.picture("examples", png_of(sheet), "Six crystals of the embedded data set, six views")
    return page


def timings_of(results: Sequence[Result], count: int) -> dict[str, str]:
    """Run id -> milliseconds a crystal; what cannot be timed is left out, and why is printed."""
    timings = {}
    for result in results if count else ():
        if not result.id:
            continue
        try:
            timings[result.id] = f"{milliseconds(model_place(result), count):.0f}"
        except (RuntimeError, TimeoutExpired, ValueError) as error:
            print(f"{result.name} ({result.id[:8]}) is not timed: {one_line(error)}.", flush=True)
    return timings
