"""An explanation in the run of ``mlflow run``: the page, its figure, the numbers of the answer."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from supervision.answer.text import kelvin
from supervision.explain.explanation import Explanation
from supervision.explain.page import PAGE_FILE, write_page
from tracking import runs
from tracking.description import describe_run

NUMBERS = (
    "tc_kelvin", "tc_lower", "tc_upper", "p_superconducting", "p_above_10", "p_above_20",
    "p_above_40", "domain_error",
)  # fmt: skip


@contextmanager
def run_if_given(name: str) -> Iterator[bool]:
    """The run that ``mlflow run`` created, under this name, and whether there is one.

    Explaining a crystal by hand is no experiment, so it creates none.
    """
    if "MLFLOW_RUN_ID" not in os.environ:
        yield mlflow.active_run() is not None
        return
    with runs.tracked_run(name):
        yield True


def log_explanation(found: Explanation) -> None:
    """Log the page and its figure as artifacts, and what is known of the answer as metrics."""
    answer = found.answer
    runs.log_settings(
        {},
        {
            "model_family": "explain",
            "formula": answer.formula,
            "domain": answer.domain,
            "model_version": answer.model_version,
        },
    )
    numbers = {name: float(getattr(answer, name)) for name in NUMBERS}
    runs.log_metrics({name: value for name, value in numbers.items() if math.isfinite(value)})
    with tempfile.TemporaryDirectory() as folder:
        write_page(found, Path(folder) / PAGE_FILE)
        mlflow.log_artifacts(folder)
    tc, low, high = (
        kelvin(value, answer.decimals)
        for value in (answer.tc_kelvin, answer.tc_lower, answer.tc_upper)
    )
    usual = kelvin(answer.domain_error, 1)
    describe_run(
        f"Why {answer.model_version} predicts this Tc for {answer.formula}.",
        f"Tc {tc} K (90% {low} to {high}); domain {answer.domain}, where the MAE is {usual} K.",
        {PAGE_FILE: "the explanation on one page"},
        metrics=NUMBERS[:3],
    )
