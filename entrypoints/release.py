"""Register the models that ship with the install, so that MLflow serves them.

mlflow run . -e release --experiment-name SuperVision --env-manager local
mlflow models serve -m models:/supervision@champion --env-manager local
"""

from typing import Annotated

import typer

from entrypoints.options import listed, run_cli
from supervision.answer.released import released_names
from tracking.release.register import register_release
from tracking.runs import tracked_run

app = typer.Typer(add_completion=False)


@app.command()
def main(
    models: Annotated[
        str, typer.Option(help="released models, separated by commas; empty: all")
    ] = "",
) -> None:
    """Register released models, with their cards; the ensemble becomes champion."""

    def run() -> None:
        known = released_names()
        chosen = listed(models) or known
        if unknown := [name for name in chosen if name not in known]:
            raise ValueError(f"models: {', '.join(unknown)} is not one of {', '.join(known)}.")
        register_release(chosen)

    run_cli(tracked_run("release")(run))


if __name__ == "__main__":
    app()
