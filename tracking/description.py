"""Descriptions on the pages of MLflow's UI: what to look at first, what this is, and its result.

MLflow shows them as Markdown. It folds that of a run after about three lines, so the links come
first. Addresses are relative to that of the UI; it removes ``data:`` URIs and folded parts.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import mlflow

NOTE_TAG = "mlflow.note.content"  # the tag that MLflow shows as a description
TEST_ERROR = "Test MAE"  # the first words of a line about it
LOOK = "**Look first**"  # the first words of the line of links


def describe_run(
    what: str,
    result: str,
    look: Mapping[str, str] | None = None,
    *,
    metrics: Sequence[str] = (),
    more: str = "",
) -> None:
    """Describe the active run.

    Args:
        what: what the run is, one sentence.
        result: what it has found, such as the test error beside that of a constant.
        look: what to look at first: the path of an artifact, and what it shows.
        metrics: the names of those to look at.
        more: Markdown for readers who unfold the description.
    """
    active = mlflow.active_run()
    assert active is not None, "this belongs inside a run"
    links = [
        f"[{shows}]({run_link(active.info.run_id, path)})" for path, shows in (look or {}).items()
    ]
    targets = ", ".join([*links, *(f"`{name}`" for name in metrics)])
    first = f"{LOOK} at {targets}." if targets else ""
    beginning = "\n".join(filter(None, (first, what, result)))  # the UI keeps the ends of lines
    mlflow.set_tag(NOTE_TAG, "\n\n".join(filter(None, (beginning, more))))


def result_in(description: str) -> str:
    """The line of a run's description about its test error; else what the run is."""
    lines = [line for line in description.splitlines() if not line.startswith(LOOK)]
    return next((line for line in lines if line.startswith(TEST_ERROR)), "".join(lines[:1]))


def run_link(run: str, artifact: str = "") -> str:
    """The address of a run's page, or of one of its artifacts, in the UI."""
    experiment = mlflow.MlflowClient().get_run(run).info.experiment_id
    page = f"#/experiments/{experiment}/runs/{run}"
    return f"{page}/artifacts/{quote(artifact)}" if artifact else page


def picture(run: str, artifact: str, caption: str) -> str:
    """A PNG artifact of a run, as Markdown that the UI shows."""
    return f"![{caption}](get-artifact?path={quote(artifact)}&run_uuid={run})"
