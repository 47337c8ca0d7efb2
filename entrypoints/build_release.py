"""Build the models that ship with the install, from runs in folds of the same settings.

python -m entrypoints.build_release --runs ID,ID,... --teach jarvis_supercon

A maintainer's command: it writes the folder ``released/`` of this repository.
"""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import listed, run_cli
from supervision.answer.released import MANIFEST_FILE
from supervision.experiment.sources import parse_sources
from supervision.release.folder import ReleaseFolder
from supervision.runtime.version import ROOT
from tracking import runs as tracked
from tracking.release.build import build_release
from tracking.release.fold_runs import FoldRuns

app = typer.Typer(add_completion=False)


@app.command()
def main(
    runs: Annotated[
        str, typer.Option(help="runs with folds, separated by commas: families on several splits")
    ],
    ensemble: Annotated[
        str, typer.Option(help="families that the ensemble combines")
    ] = "composition,structure",
    teach: Annotated[
        str, typer.Option(help="sources whose structures the fast model is taught on, too")
    ] = "jarvis_supercon",
    teach_data: Annotated[
        str, typer.Option(help="their local copies: NAME=PATH,NAME=PATH; empty: download")
    ] = "",
    out: Annotated[Path, typer.Option(help="the folder, which must not hold a release")] = Path(
        "released"
    ),
) -> None:
    """Train released models on all data, and write their folder with cards and hashes."""

    def build() -> None:
        if (out / MANIFEST_FILE).is_file():
            raise ValueError(f"{out} holds a release: move its models and its manifest away first.")
        found = FoldRuns.read(listed(runs))
        combined = listed(ensemble)
        if missing := [name for name in combined if name not in found]:
            raise ValueError(f"ensemble: there is no run of {', '.join(missing)}.")
        sources = parse_sources(teach, teach_data, option="teach")
        release = ReleaseFolder(out, _version())
        build_release(found, combined, sources, release)

    run_cli(tracked.tracked_run("build release")(build))


def _version() -> str:
    """The version of the package in this clone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


if __name__ == "__main__":
    app()
