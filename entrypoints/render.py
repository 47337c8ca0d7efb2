"""Draw a data set: PNG files with a manifest, or only a contact sheet.

mlflow run . -e render --env-manager local -P dataset=classics -P out=renders
"""

from dataclasses import dataclass

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, make_app, parse, run_cli, user_path
from supervision.experiment.spec import Experiment, load_materials
from supervision.models.vision.contact_sheet import draw_contact_sheet
from supervision.models.vision.export import export_views
from supervision.models.vision.featurize import featurize_scenes
from supervision.models.vision.scene import BONDINGS
from supervision.models.vision.views import select_views
from supervision.runtime.options import option, options_of
from tracking import runs
from tracking.description import describe_run

SHEET_FILE = "plots/contact_sheet.png"
DATA = ("dataset", "data", "limit", "seed", "allow_loss")


@dataclass(frozen=True)
class RenderOptions:
    """What is drawn, and where to. Raises ValueError for a value out of range."""

    views: int = option(18, "views per structure, 1 to 18")
    bonding: str = option("fast", "how bonds are found: fast, crystalnn or none")
    out: str = option("", "folder for the PNG files; empty: none")

    def __post_init__(self) -> None:
        select_views(self.views)
        if self.bonding not in BONDINGS:
            raise ValueError(f"bonding '{self.bonding}' is not one of {', '.join(BONDINGS)}.")


def main(given: Given) -> None:
    """Draw the crystals of a data set and log a contact sheet."""

    def run() -> None:
        render(experiment_of(given), parse(RenderOptions, given))

    run_cli(runs.tracked_run(f"render · {given['dataset']}")(run))


def render(experiment: Experiment, options: RenderOptions) -> None:
    """Log the contact sheet of a data set and, with ``out``, write all views as PNG files."""
    bonding = options.bonding
    params = {name: getattr(experiment, name) for name in DATA} | vars(options)
    runs.log_settings(params, {"dataset": experiment.dataset, "model_family": "render"})
    _, materials = load_materials(
        experiment,
        lambda crystals: featurize_scenes(crystals, bonding=bonding)[1],
        runs.log_rejects,
    )
    sheet = draw_contact_sheet(materials, bonding=bonding, seed=experiment.seed)
    runs.log_image(sheet, SHEET_FILE)
    crystals = [c for m in materials for c in m.crystals]
    found = f"{len(crystals)} structures of {len(materials)} materials can be drawn."
    print(found)
    look = {SHEET_FILE: "six crystals in six views", "rejects.csv": "what cannot be drawn"}
    describe_run(f"Drawings of {experiment.dataset}, as vision models see it.", found, look)
    if options.out:
        views = select_views(options.views)
        manifest = export_views(crystals, views, user_path(options.out), bonding=bonding)
        runs.log_file(manifest)
        count = len(crystals) * len(views)
        print(f"{count} images in {options.out}, listed in {manifest.name}.")


app = make_app(
    main,
    [("Data", experiment_options(*DATA)), ("Images", options_of(RenderOptions))],
    "Draw the crystals of a data set and log a contact sheet.",
)

if __name__ == "__main__":
    app()
