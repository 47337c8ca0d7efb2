"""Write one report of several runs: tables, paired differences, figures, and what they say.

mlflow run . -e compare --env-manager local
python -m entrypoints.compare --runs ID,ID,... --out results/comparison.md
"""

from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import run_cli
from supervision.data.datasets.load import named
from supervision.data.splits import KINDS
from tracking.comparison.report import publish
from tracking.comparison.results import Result, disambiguate, from_file, latest, require_comparable
from tracking.runs import tracked_run

app = typer.Typer(add_completion=False)


@app.command()
def main(
    runs: Annotated[str, typer.Option(help="ids, commas between; empty: latest of each kind")] = "",
    dataset: Annotated[str, typer.Option(help="of the latest runs")] = "3dsc",
    beside: Annotated[str, typer.Option(help="predictions as CSV files, commas between")] = "",
    timed: Annotated[int, typer.Option(help="crystals that each model is timed on; 0: none")] = 10,
    out: Annotated[str, typer.Option(help="also write the report here (.md)")] = "",
) -> None:
    """Compare models on the same test materials."""

    def run() -> None:
        if out and not out.endswith(".md"):
            raise ValueError(f"out={out} must end in .md; the page and the figures go beside it.")
        if timed < 0:
            raise ValueError(f"timed must be 0 or more, got {timed}.")
        results = [Result.read(id) for id in _listed(runs)] or latest(named(dataset), KINDS)
        results += [from_file(Path(path), results) for path in _listed(beside)]
        results = disambiguate(results)
        require_comparable(results)
        publish(results, timed, Path(out) if out else None)

    run_cli(tracked_run("comparison")(run))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    app()
