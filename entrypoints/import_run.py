"""Import a training that ran elsewhere into MLflow: its history, artifacts and model.

python -m entrypoints.import_run FOLDER
"""

from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import run_cli

app = typer.Typer(add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="the folder of a training with --out")],
) -> None:
    """Log, evaluate and register what a training wrote into a folder."""

    def run() -> None:
        from tracking.import_run import import_folder  # run_cli reports a missing package

        import_folder(folder.expanduser())

    run_cli(run)


if __name__ == "__main__":
    app()
