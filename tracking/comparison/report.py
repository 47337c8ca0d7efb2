"""The report of the comparison: findings, tables and figures on one page."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from subprocess import TimeoutExpired

import mlflow

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.models.vision.contact_sheet import draw_contact_sheet
from supervision.runtime.errors import one_line
from supervision.runtime.images import encode_png
from tracking import runs
from tracking.comparison import plots as figures
from tracking.comparison.differences import best_of_families, ranked, splits_of
from tracking.comparison.discovery import EXPLANATION, discovery_pairs, discovery_table
from tracking.comparison.findings import BASELINE_NAME, findings
from tracking.comparison.html_page import Page
from tracking.comparison.results import Result, model_location
from tracking.comparison.tables import (
    band_table,
    cost_table,
    expectation_table,
    main_table,
    mean_table,
    pair_table,
    published_table,
    rank_correlation,
)
from tracking.description import describe_run
from tracking.serving.timing import milliseconds


def publish(results: Sequence[Result], timed: int, out: Path | None) -> None:
    """Log the report to the active run, write it to ``out`` (.md) if given, and print the findings.

    Each model is timed on ``timed`` crystals; 0 for no timing.
    """
    page = report(results, timings_of(results, timed))
    page.log("comparison.md")
    if out:
        page.write(out)
    found = findings(results)
    runs.log_params(
        {"runs": ",".join(r.id for r in results if r.id)}
        | {"dataset_hash": results[0].params["dataset_hash"]}
        | {f"split_hash_{r.split_slug}": r.split_hash for r in results}
    )
    mlflow.set_tags(
        {
            "mlflow.runName": f"compare · {results[0].dataset} · {len(results)} models",
            "model_family": "comparison",
            "dataset": results[0].dataset,
        }
    )
    names = ", ".join(result.name for result in results)
    look = {"comparison.html": "tables, paired differences and figures on one page"}
    first, *further = found
    describe_run(f"Comparison of {names}.", first, look, more="\n\n".join(further))
    print(*found, f"Run {runs.run_id()}", sep="\n", flush=True)


def report(results: Sequence[Result], timings: dict[str, str]) -> Page:
    """The page of the report; ``timings`` come from ``timings_of``."""
    page = Page("Comparison of models")
    page.text(
        "Written by `mlflow run . -e compare --env-manager local -P runs=ID,ID,...`. The runs are "
        "listed below with their cost. Models without a run are predictions from "
        "`beside=FILE.csv,...`."
    )
    page.bullets(findings(results))
    page.text(
        "A difference is shown where the 95% interval of the paired bootstrap excludes zero. The "
        "bootstrap is over families where the split is by families, over materials on `random`. Of "
        "twenty pairs without a difference, about one is shown by chance. Each model was chosen on "
        "validation materials. The order below is by the error on test materials."
    )
    table = main_table(results)
    page.table(table)
    page.attach("table", figures.table(table, "Test errors with 95% intervals"))
    for split in splits_of(results):
        ranking = discovery_table(results, split)
        if ranking.empty:
            continue
        page.heading(f"Ranking new families: {split}")
        page.text(EXPLANATION)
        page.table(ranking)
        pairs = discovery_pairs(results, split)
        if not pairs.empty:
            page.text("The differences, paired over families; * where the interval excludes zero:")
            page.table(pairs)
    page.heading("Predicted and measured")
    page.image("scatter", figures.scatter(results), "The best model on validation of each family")
    for split, slug in {r.split: r.split_slug for r in results}.items():
        page.image(f"parity_{slug}", figures.parity(results, split), f"All models, {split}")
    page.image("residuals", figures.residuals(results), "Errors and bias")
    page.heading("By measured Tc")
    for split in splits_of(results):
        page.text(f"`{split}`:")
        page.table(band_table(results, split))
    page.heading("By predicted Tc: how far a single prediction can be trusted")
    for split in splits_of(results):
        for model in best_of_families(ranked(results, split)).values():
            rank = rank_correlation(model)
            text = "undefined" if isnan(rank) else f"{rank:.2f}"
            page.table(
                expectation_table(model),
                folded=f"{model.name}, {split}, rank correlation (Spearman) {text}",
            )
    page.heading(f"With the baseline: does a model know what {BASELINE_NAME} do not?")
    for split in splits_of(results):
        means = mean_table(results, split)
        if not means.empty:
            page.text(f"`{split}`:")
            page.table(means)
    page.text(
        "The plain mean of two predictions, without fitted weights. The mean of two models of "
        "equal error is better wherever their errors differ, so compare a row with those of the "
        "other trees."
    )
    page.heading("Every pair")
    for split in splits_of(results):
        page.table(pair_table(results, split), folded=f"Paired differences on {split}")
    page.heading("Training curves and cost")
    page.image("curves", figures.curves(results), "Validation MAE by epoch")
    page.table(cost_table(results, timings))
    page.text(
        "Milliseconds per crystal are from CIF text to Tc, one crystal after the other: the mean "
        "over the same crystals for all models, each in a separate process with the code it was "
        "logged with, measured for this report, on a GPU where there is one."
    )
    page.heading("What others report")
    page.text("These are on other data or another split: for orientation, not for comparison.")
    page.table(published_table())
    if any(result.kind.model_family == "vision" for result in results):
        page.heading("Input images of the vision models")
        sheet = draw_contact_sheet(group_materials(load_dataset("classics").crystals))
        page.image(
            "examples", encode_png(sheet), "Six crystals of the embedded data set, six views"
        )
    return page


def timings_of(results: Sequence[Result], count: int) -> dict[str, str]:
    """Run id -> milliseconds per crystal; prints why a model is left out that cannot be timed."""
    timings = {}
    for result in results if count else ():
        if not result.id:
            continue
        try:
            timings[result.id] = f"{milliseconds(model_location(result), count):.0f}"
        except (RuntimeError, TimeoutExpired, ValueError) as error:
            print(f"{result.name} ({result.id[:8]}) is not timed: {one_line(error)}.", flush=True)
    return timings
