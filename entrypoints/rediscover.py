"""Ask models that never saw a class of superconductors where they would have ranked it.

mlflow run . -e rediscover --experiment-name SuperVision --env-manager local -P dataset=3dsc
python -m entrypoints.rediscover --dataset 3dsc --classes cuprate,iron --models composition
"""

from dataclasses import dataclass

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, listed, make_app, parse, run_cli
from entrypoints.untrained import UntrainedOptions
from supervision.data.material_classes import CLASSES
from supervision.runtime.options import option, options_of
from tracking import runs
from tracking.rediscovery import rediscover

DATA = ("dataset", "data", "apart", "extra", "extra_data", "extra_weights", "limit", "seed")


@dataclass(frozen=True)
class RediscoveryOptions(UntrainedOptions):
    """Which models look for which classes. Raises ValueError for a value that is refused."""

    classes: str = option(",".join(CLASSES), "classes to leave out, one after the other")
    folds: int = option(5, "folds of the novel split, each of which is tested once")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in listed(self.classes):
            if name not in CLASSES:
                raise ValueError(f"class '{name}' is not one of {', '.join(CLASSES)}.")
            if listed(self.classes).count(name) > 1:
                raise ValueError(f"classes names {name} twice.")
        if self.folds < 2:
            raise ValueError(f"folds must be 2 or more, got {self.folds}.")


def main(given: Given) -> None:
    """Leave each class out, train, and rank it."""

    def run() -> None:
        options = parse(RediscoveryOptions, given)
        experiment = experiment_of(given, split="novel", folds=options.folds, register=False)
        # calibration takes several fits, and hardly changes the order of predictions
        models = options.setups(experiment, calibrate="false")
        tags = {"model_family": "rediscovery", "dataset": experiment.dataset}
        runs.log_settings(experiment.settings(), tags)
        rediscover(models, experiment, listed(options.classes), options.page)

    run_cli(runs.tracked_run(f"rediscover · {given['dataset']}")(run))


app = make_app(
    main,
    [("Data", experiment_options(*DATA)), ("Rediscovery", options_of(RediscoveryOptions))],
    "Ask models that never saw a class of superconductors where they would have ranked it.",
)

if __name__ == "__main__":
    app()
