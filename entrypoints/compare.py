"""Compare finished runs: tables, paired differences, figures and findings in one report.

mlflow run . -e compare --env-manager local
python -m entrypoints.compare --runs ID,ID,... --out results/comparison.md
"""

from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import listed, run_cli
from supervision.data.datasets.load import dataset_label
from tracking.comparison.report import publish
from tracking.comparison.results import (
    Result,
    check_comparable,
    from_file,
    newest_of_each_kind,
    with_unique_names,
)
from tracking.runs import tracked_run

app = typer.Typer(add_completion=False)


@app.command()
def main(
    runs: Annotated[
        str, typer.Option(help="run ids, separated by commas; empty: the newest of each kind")
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="of the newest runs; empty: that of the newest finished run")
    ] = "",
    beside: Annotated[
        str, typer.Option(help="predictions from elsewhere: CSV files, separated by commas")
    ] = "",
    timed: Annotated[int, typer.Option(help="crystals to time each model on; 0: no timing")] = 10,
    out: Annotated[str, typer.Option(help="also write the report to this file (.md)")] = "",
) -> None:
    """Compare models on the same test materials."""

    def run() -> None:
        if out and not out.endswith(".md"):
            raise ValueError(
                f"out={out} must end in .md; the page and the figures are written beside it."
            )
        if timed < 0:
            raise ValueError(f"timed must be 0 or more, got {timed}.")
        results = [Result.read(id) for id in listed(runs)]
        if not results:
            label = dataset_label(dataset) if dataset else ""
            results = newest_of_each_kind(label)
        results += [from_file(Path(path), results) for path in listed(beside)]
        results = with_unique_names(results)
        check_comparable(results)
        publish(results, timed, Path(out) if out else None)

    run_cli(tracked_run("compare")(run))


if __name__ == "__main__":
    app()
