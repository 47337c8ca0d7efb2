"""The report of the comparison, from the first sentence to the last figure."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np

from supervision.crystals import Crystal, group_materials
from supervision.datasets import load_dataset
from supervision.errors import one_line
from supervision.predictor import Predictor, load_predictor
from supervision.vision.data import contact_sheet_of
from supervision.vision.render import png_of
from tracking import compare_plots as figures
from tracking import runs
from tracking.compare import (
    band_table,
    cost_table,
    main_table,
    pair_table,
    published_table,
    sentences,
    splits_of,
)
from tracking.page import Page
from tracking.results import Result, predictor_folder


def publish(results: Sequence[Result], timed: int, out: Path | None) -> None:
    """Write the report into the active run, and to ``out`` (.md) where that is wanted.

    Each model is timed on ``timed`` crystals; 0 leaves that out.
    """
    page = report(results, milliseconds(results, timed))
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
    mlflow.set_tags({"pipeline": "comparison", "mlflow.note.content": "\n\n".join(said)})
    print(*said, f"Run {runs.run_id()}", sep="\n", flush=True)


def report(results: Sequence[Result], timings: dict[str, str]) -> Page:
    """The page; ``timings`` are what ``milliseconds`` says."""
    page = Page("Comparison of models")
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
    page.heading("Every pair")
    for split in splits_of(results):
        page.table(pair_table(results, split), folded=f"Paired differences on {split}")
    page.heading("How they learned, and what it took")
    page.picture("curves", figures.curves(results), "Validation MAE by epoch")
    page.table(cost_table(results, timings))
    page.text(
        "Milliseconds a crystal: from CIF text to Tc, one crystal after the other in one process, "
        "the mean over the same crystals for all, measured while this report was made."
    )
    page.heading("What others report")
    page.text("On other data or another split: for orientation, not for comparison.")
    page.table(published_table())
    if any(result.pipeline == "vision" for result in results):
        page.heading("What the vision models see")
        sheet = contact_sheet_of(group_materials(load_dataset("classics").crystals))
        page.picture("examples", png_of(sheet), "Six crystals of the embedded data set, six views")
    return page


def milliseconds(results: Sequence[Result], count: int) -> dict[str, str]:
    """Run id -> milliseconds a crystal and the device, one crystal at a time, a first one left out.

    A model that cannot be read any more is left out, and why is printed.
    """
    crystals = load_dataset("classics").crystals
    picks = np.linspace(0, len(crystals) - 1, count + 1).astype(int)
    timings = {}
    for result in results if count else ():
        fresh = [Crystal(crystals[i].id, crystals[i].formula, crystals[i].cif) for i in picks]
        try:
            predictor = load_predictor(predictor_folder(result)) if result.id else None
            if predictor is not None:
                timings[result.id] = _timed(predictor, fresh)
        except Exception as error:  # whatever other code or another machine left in a run
            print(f"{result.name} ({result.id[:8]}) is not timed: {one_line(error)}.", flush=True)
    return timings


def _timed(predictor: Predictor, crystals: Sequence[Crystal]) -> str:
    predictor.predict(crystals[:1])
    began = time.perf_counter()
    for crystal in crystals[1:]:
        predictor.predict([crystal])
    each = 1000 * (time.perf_counter() - began) / (len(crystals) - 1)
    return f"{each:.0f} ({getattr(predictor, 'device', 'cpu')})"
