"""Draw a data set: PNG files with a manifest, or nothing but a contact sheet.

mlflow run . -e render --env-manager local -P dataset=classics -P out=renders
"""

from pathlib import Path
from typing import Annotated

import typer

from entrypoints.options import (
    DataOption,
    DatasetOption,
    LimitOption,
    LossOption,
    parse_bool,
    run_cli,
)
from supervision.experiment.spec import Experiment, load_materials
from supervision.models.vision.contact_sheet import contact_sheet_of
from supervision.models.vision.export import export_views
from supervision.models.vision.featurize import featurize_scenes
from supervision.models.vision.scene import BONDINGS
from supervision.models.vision.views import select_views
from tracking import runs

app = typer.Typer(add_completion=False)
DATA_SETTINGS = ("dataset", "data", "limit", "seed", "allow_loss")


@app.command()
def main(
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    views: Annotated[int, typer.Option(help="views a structure, 1 to 18")] = 18,
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of the shuffle")] = 42,
    bonding: Annotated[str, typer.Option(help="fast, crystalnn or none")] = "fast",
    allow_loss: LossOption = "false",
    out: Annotated[str, typer.Option(help="folder for the PNG files; empty: none")] = "",
) -> None:
    """Draw the crystals of a data set and log a contact sheet."""

    def run() -> None:
        allowed = parse_bool(allow_loss, "allow_loss")
        experiment = Experiment(dataset, data, limit=limit, seed=seed, allow_loss=allowed)
        _render(experiment, views, bonding, out)

    run_cli(runs.tracked_run(f"render · {dataset}")(run))


def _render(experiment: Experiment, views: int, bonding: str, out: str) -> None:
    chosen = select_views(views)
    if bonding not in BONDINGS:
        raise ValueError(f"bonding '{bonding}' is not one of {', '.join(BONDINGS)}.")
    params = {name: getattr(experiment, name) for name in DATA_SETTINGS}
    params |= {"views": views, "bonding": bonding, "out": out}
    runs.describe(params, {"dataset": experiment.dataset, "model_family": "render"})
    _, materials = load_materials(
        experiment,
        lambda crystals: featurize_scenes(crystals, bonding=bonding)[1],
        runs.log_rejects,
    )
    sheet = contact_sheet_of(materials, bonding=bonding, seed=experiment.seed)
    runs.log_picture(sheet, "plots/contact_sheet.png")
    crystals = [c for m in materials for c in m.crystals]
    print(f"{len(crystals)} structures of {len(materials)} materials can be drawn.")
    if out:
        manifest = export_views(crystals, chosen, Path(out).expanduser(), bonding=bonding)
        runs.log_file(manifest)
        print(f"{len(crystals) * len(chosen)} pictures in {out}, listed in {manifest.name}.")


if __name__ == "__main__":
    app()
