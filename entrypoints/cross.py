"""Train models on a data set, and test them on the materials of other sources by their distance.

mlflow run . -e cross --experiment-name SuperVision --env-manager local -P dataset=3dsc
python -m entrypoints.cross --dataset 3dsc --sources jarvis_supercon --models composition
"""

from dataclasses import dataclass

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, make_app, parse, run_cli
from entrypoints.untrained import UntrainedOptions
from supervision.experiment.sources import SourceSpec, parse_sources
from supervision.runtime.options import option, options_of
from tracking import runs
from tracking.cross import cross

DATA = ("dataset", "data", "limit", "seed")


@dataclass(frozen=True)
class CrossOptions(UntrainedOptions):
    """Which models are tested on which sources. Raises ValueError for a value that is refused."""

    sources: str = option(
        "supercon,jarvis_supercon", "supercon, jarvis_supercon, alex_supercon, by commas"
    )
    sources_data: str = option("", "their local copies: NAME=PATH,NAME=PATH; empty: download")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.specs:
            raise ValueError("sources is empty: name at least one source.")

    @property
    def specs(self) -> list[SourceSpec]:
        """The sources."""
        return parse_sources(self.sources, self.sources_data, option="sources")


def main(given: Given) -> None:
    """Train each model, and test it on every source that it can read."""

    def run() -> None:
        options = parse(CrossOptions, given)
        experiment = experiment_of(given, register=False)
        models = options.setups(experiment)
        tags = {"model_family": "cross", "dataset": experiment.dataset}
        runs.log_settings(experiment.settings(), tags)
        cross(models, experiment, options.specs, options.page)

    run_cli(runs.tracked_run(f"cross · {given['dataset']}")(run))


app = make_app(
    main,
    [("Data", experiment_options(*DATA)), ("Evaluation", options_of(CrossOptions))],
    "Train models on a data set, and test them on other sources by distance.",
)

if __name__ == "__main__":
    app()
