"""Run the test suite: ``mlflow run . -e test --env-manager local``."""

import subprocess
import sys
from typing import Annotated

import typer

from supervision.runtime.version import ROOT

app = typer.Typer(add_completion=False)


@app.command()
def main(select: Annotated[str, typer.Option(help="pytest -k expression")] = "") -> None:
    """pytest on tests/, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "tests"]
    if select:
        command += ["-k", select]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    app()
