"""Train models on a data set, and test them on the materials of other sources by their distance.

mlflow run . -e cross --experiment-name SuperVision --env-manager local -P dataset=3dsc
python -m entrypoints.cross --dataset 3dsc --sources jarvis_supercon --models composition
"""

from dataclasses import dataclass

from entrypoints.options import (
    Given,
    experiment_of,
    experiment_options,
    listed,
    make_app,
    parse,
    run_cli,
    user_path,
)
from supervision.experiment.sources import SourceSpec, parse_sources
from supervision.runtime.options import option, options_of
from tracking import runs
from tracking.cross import cross
from tracking.ensemble.members import DEFAULT_MEMBERS, check_members, untrained_member

DATA = ("dataset", "data", "limit", "seed")


@dataclass(frozen=True)
class CrossOptions:
    """Which models are tested on which sources. Raises ValueError for a value that is refused."""

    models: str = option(DEFAULT_MEMBERS, "models, separated by commas")
    sources: str = option(
        "supercon,jarvis_supercon", "supercon, jarvis_supercon, alex_supercon, by commas"
    )
    sources_data: str = option("", "their local copies: NAME=PATH,NAME=PATH; empty: download")
    weights: str = option("auto", "pretrained weights of networks: auto, none, a name, name:file")
    device: str = option("auto", "auto, cpu, cuda, ...")
    out: str = option("", "also write the page to this file (.md)")

    def __post_init__(self) -> None:
        check_members(listed(self.models), option="models")
        if not self.specs:
            raise ValueError("sources is empty: name at least one source.")
        if self.out and not self.out.endswith(".md"):
            raise ValueError(f"out={self.out} must end in .md.")

    @property
    def specs(self) -> list[SourceSpec]:
        """The sources."""
        return parse_sources(self.sources, self.sources_data, option="sources")


def main(given: Given) -> None:
    """Train each model, and test it on every source that it can read."""

    def run() -> None:
        options = parse(CrossOptions, given)
        experiment = experiment_of(given, register=False)
        models = {
            name: untrained_member(name, experiment, options.weights, options.device)
            for name in listed(options.models)
        }
        tags = {"model_family": "cross", "dataset": experiment.dataset}
        runs.log_settings(experiment.settings(), tags)
        out = user_path(options.out) if options.out else None
        cross(models, experiment, options.specs, out)

    run_cli(runs.tracked_run(f"cross · {given['dataset']}")(run))


app = make_app(
    main,
    [("Data", experiment_options(*DATA)), ("Evaluation", options_of(CrossOptions))],
    "Train models on a data set, and test them on other sources by distance.",
)

if __name__ == "__main__":
    app()
