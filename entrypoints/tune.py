"""Search a model_family's settings with Optuna; every trial is a run below the study's own.

mlflow run . -e tune --env-manager local -P model_family=composition -P trials=20
python -m entrypoints.tune --model_family graph --study mine --trials 40 --workers 2
"""

import time
from typing import Annotated

import typer

from entrypoints.options import (
    DataOption,
    DatasetOption,
    DeviceOption,
    LimitOption,
    LossOption,
    ParallelOption,
    SplitOption,
    experiment_of,
    parse_auto,
    parse_bool,
    run_cli,
)
from tracking.runs import tracked_run
from tracking.tuning.trials import StudyPlan
from tracking.tuning.tuning import tune

app = typer.Typer(add_completion=False)


@app.command()
def main(
    model_family: Annotated[str, typer.Option(help="vision, graph or composition")] = "composition",
    trials: Annotated[int, typer.Option(help="how many the study is to have")] = 20,
    study: Annotated[str, typer.Option(help="name; one that is there is carried on")] = "auto",
    storage: Annotated[
        str, typer.Option(help="a journal file, sqlite:///FILE, or postgresql+psycopg2://...")
    ] = "studies.journal",
    workers: Annotated[int, typer.Option(help="processes on this machine")] = 1,
    timeout: Annotated[float, typer.Option(help="seconds; no trial begins later; 0: none")] = 0,
    objectives: Annotated[str, typer.Option(help="mae, or mae,milliseconds")] = "mae",
    pruner: Annotated[str, typer.Option(help="median, hyperband or none")] = "median",
    epochs: Annotated[str, typer.Option(help="of a trial, or auto: as train_* has")] = "auto",
    final_epochs: Annotated[
        str, typer.Option(help="of default and best, or auto: as train_* has")
    ] = "auto",
    retrain: Annotated[str, typer.Option(help="train default and best to the end")] = "true",
    dataset: DatasetOption = "classics",
    data: DataOption = "",
    split: SplitOption = "random",
    weights: Annotated[str, typer.Option(help="auto, none, a name, or name:file")] = "auto",
    limit: LimitOption = 0,
    seed: Annotated[int, typer.Option(help="of split, trials and running_trainings")] = 42,
    device: DeviceOption = "auto",
    allow_loss: LossOption = "false",
    parallel: ParallelOption = "false",
) -> None:
    """Search, then train by what was best, and say whether that was worth it."""

    def run() -> None:
        for name, value in (("trials", trials), ("workers", workers)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}.")
        experiment = experiment_of(
            "false",
            allow_loss,
            parallel,
            dataset=dataset,
            data=data,
            split=split,
            limit=limit,
            seed=seed,
        )
        plan = StudyPlan(
            study=f"{model_family} {experiment.dataset} {split}" if study == "auto" else study,
            storage=storage,
            model_family=model_family,
            experiment=experiment,
            weights=weights,
            device=device,
            epochs=parse_auto(epochs, 0, "epochs"),
            final_epochs=parse_auto(final_epochs, 0, "final_epochs"),
            objectives=tuple(name.strip() for name in objectives.split(",")),
            pruner=pruner,
            until=time.time() + timeout if timeout else 0.0,
        )
        tune(plan, trials=trials, workers=workers, retrain=parse_bool(retrain, "retrain"))

    known_as = f"{model_family} · {dataset}" if study == "auto" else study
    run_cli(tracked_run(f"study · {known_as}")(run))


if __name__ == "__main__":
    app()
