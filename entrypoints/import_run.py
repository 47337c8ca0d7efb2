"""Bring a training that ran elsewhere into MLflow: its history, artifacts and model.

python -m entrypoints.import_run FOLDER
"""

from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import run_cli

app = typer.Typer(add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="what a training with --out has left")],
) -> None:
    """Log, judge and register what a training has left in a folder."""

    def run() -> None:
        from tracking.import_run import import_folder  # where it is missing, run_cli says so

        import_folder(folder.expanduser())

    run_cli(run)


if __name__ == "__main__":
    app()
