"""Search a model family's settings with Optuna; every trial is a run below the study's own.

mlflow run . -e tune --env-manager local -P model_family=composition -P trials=20
python -m entrypoints.tune --model-family graph --study mine --trials 40 --workers 2
"""

import time
from dataclasses import dataclass

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.options import Given, make_app, parse, run_cli
from supervision.runtime.options import option, options_of
from tracking.runs import tracked_run
from tracking.tuning.search_spaces import SPACES
from tracking.tuning.trials import StudyPlan
from tracking.tuning.tuning import tune

DATA = (
    "dataset", "data", "split", "apart", "extra", "extra_data", "extra_weights", "limit", "seed",
    "allow_loss", "parallel",
)  # fmt: skip


@dataclass(frozen=True)
class TuneOptions:
    """A study and its trials. Raises ValueError for a value out of range."""

    model_family: str = option("composition", f"one of {', '.join(SPACES)}")
    trials: int = option(20, "number of trials of the study")
    study: str = option("auto", "name of the study; one that exists is resumed")
    storage: str = option(
        "studies.journal", "a journal file, sqlite:///FILE, or postgresql+psycopg2://..."
    )
    workers: int = option(1, "worker processes on this machine")
    timeout: float = option(0.0, "seconds after which no trial begins; 0: no limit")
    objectives: str = option("mae", "mae, or mae,milliseconds")
    pruner: str = option("median", "median, hyperband or none")
    epochs: int = option(0, "epochs of a trial; 0: as in the family's training")
    final_epochs: int = option(0, "epochs of the final trainings; 0: as in the family's training")
    retrain: bool = option(True, "train with the default and the best settings at the end")
    weights: str = option("auto", "pretrained weights: auto, none, a name, or name:file")
    device: str = option("auto", "auto, cpu, cuda, ...")

    def __post_init__(self) -> None:
        for name in ("trials", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}.")


def main(given: Given) -> None:
    """Search, train with the best settings, and say whether the search was worth it."""

    def run() -> None:
        options = parse(TuneOptions, given)
        plan = _plan(options, given)
        tune(plan, trials=options.trials, workers=options.workers, retrain=options.retrain)

    name = given["study"]
    if name == "auto":
        name = f"{given['model_family']} · {given['dataset']}"
    run_cli(tracked_run(f"study · {name}")(run))


def _plan(options: TuneOptions, given: Given) -> StudyPlan:
    experiment = experiment_of(given, register=False)
    name = f"{options.model_family} {experiment.dataset} {experiment.split}"
    return StudyPlan(
        study=name if options.study == "auto" else options.study,
        storage=options.storage,
        model_family=options.model_family,
        experiment=experiment,
        weights=options.weights,
        device=options.device,
        epochs=options.epochs,
        final_epochs=options.final_epochs,
        objectives=tuple(name.strip() for name in options.objectives.split(",")),
        pruner=options.pruner,
        deadline=time.time() + options.timeout if options.timeout else 0.0,
    )


app = make_app(
    main,
    [("Study", options_of(TuneOptions)), ("Data", experiment_options(*DATA))],
    "Search settings, train with the best, and say whether the search was worth it.",
)

if __name__ == "__main__":
    app()
