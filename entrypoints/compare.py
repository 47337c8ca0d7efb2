"""Write one report of several runs: tables, paired differences, figures, and what they say.

mlflow run . -e compare --env-manager local
python -m entrypoints.compare --runs ID,ID,... --out results/comparison.md
"""

import tempfile
from pathlib import Path
from typing import Annotated

import mlflow
import typer

from entrypoints.options import speak
from supervision.splits import KINDS
from tracking.compare import sentences
from tracking.comparison import milliseconds, report
from tracking.results import Result, from_file, latest, refuse_mixed
from tracking.runs import run_id, tracked_run

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
        results = [Result.read(id) for id in _listed(runs)] or latest(dataset, KINDS)
        results += [from_file(Path(path), results) for path in _listed(beside)]
        refuse_mixed(results)
        page = report(results, milliseconds(results, timed))
        with tempfile.TemporaryDirectory() as room:
            page.write(Path(room) / "comparison.md")
            mlflow.log_artifacts(room)
        if out:
            page.write(Path(out))
        said = sentences(results)
        mlflow.set_tags({"pipeline": "comparison", "mlflow.note.content": "\n\n".join(said)})
        print(*said, f"Run {run_id()}", sep="\n", flush=True)

    speak(tracked_run(f"comparison · {dataset}")(run))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    app()
