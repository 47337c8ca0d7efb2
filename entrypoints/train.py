"""Train a model of any family.

python -m entrypoints.train composition --dataset 3dsc --split family
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from entrypoints.experiment_options import experiment_of, experiment_options
from entrypoints.launch_torchrun import restart_with_torchrun
from entrypoints.options import Given, Group, add_command, make_app, run_cli, user_path
from supervision.data.quantity import TC
from supervision.experiment.run import run_other_rank, run_training
from supervision.experiment.run_folder import train_into_folder
from supervision.experiment.settings_file import apply_settings, read_settings
from supervision.experiment.spec import Experiment
from supervision.models.families import ModelFamily, default_configs, get_family, trained_families
from supervision.models.setup import ModelSetup
from supervision.runtime.options import option, options_of
from supervision.training.distributed import join_process_group

QUANTITY = ("quantity", "unit")
DATA = (
    "dataset", "data", *QUANTITY, "split", "apart", "folds", "fold", "extra", "extra_data",
    "extra_weights", "limit", "seed",
)  # fmt: skip
RESULT = ("register", "allow_loss")
WITHOUT_EPOCHS = ("refit", *RESULT)
RESUMING = ("checkpoint_dir", "resume", "parallel")


@dataclass(frozen=True)
class RunOptions:
    """Options of every training."""

    config: str = option("", "settings of a study's best trial (JSON file)")


@dataclass(frozen=True)
class NeuralRunOptions(RunOptions):
    """Options of trainings that learn epoch by epoch."""

    weights: str = option("auto", "pretrained weights: auto, none, a name, or name:file")
    device: str = option("auto", "auto, cpu, cuda, ...")
    torchrun: str = option("", "options of torchrun, to train by several processes")
    out: str = option("", "a folder to train into, without MLflow")


def train_app(name: str) -> typer.Typer:
    """The command that trains a model family."""
    family = get_family(name)

    def main(given: Given) -> None:
        train(family, given)

    text = f"Train a model that reads {family.reads}; evaluate, log and register it."
    return make_app(main, option_groups(family), text)


def option_groups(family: ModelFamily) -> list[Group]:
    """The options of a family's training, by heading."""
    run = NeuralRunOptions if family.has_epochs else RunOptions
    outcome = (*RESULT, *RESUMING) if family.has_epochs else WITHOUT_EPOCHS
    models = zip(("Model", "Optimisation"), family.configs, strict=False)
    return [
        ("Data", experiment_options(*DATA)),
        *((heading, options_of(config)) for heading, config in models),
        ("Run", [*options_of(run), *experiment_options(*outcome)]),
    ]


def train(family: ModelFamily, given: Given) -> None:
    """Train in an MLflow run or, with ``out``, into a folder; see ``entrypoints.options``."""
    if given["folds"] != "1" and given["fold"] == "0":
        run_cli(lambda: train_all_folds(family, given))
        return
    restart_with_torchrun(given.get("torchrun", ""))

    def make() -> tuple[ModelSetup, Experiment]:
        experiment = experiment_of(given)
        configs = default_configs(
            family, experiment.dataset, experiment.seed, given, experiment.learned
        )
        configs = apply_settings_file(given["config"], family.name, configs)
        weights, device = given.get("weights", "none"), given.get("device", "cpu")
        return family.setup(weights, device, *configs), experiment

    def run() -> None:
        out = given.get("out", "")
        with join_process_group() as group:
            if not group.is_main:
                rank = f"Process {group.rank + 1} of {group.size}"
                print(f"{rank}: the first one reports.", flush=True)
                run_other_rank(*make())
            elif out:
                _refuse_mlflow_run(out)
                train_into_folder(user_path(out), make)
            else:
                from tracking.mlflow_logger import MLflowLogger
                from tracking.runs import tracked_run  # not installed on a bare GPU node

                with tracked_run(f"{family.name} · {given['dataset']}"):
                    run_training(*make(), MLflowLogger())

    run_cli(run)


def train_all_folds(family: ModelFamily, given: Given) -> None:
    """Train on every fold, each in a child run of one MLflow run."""
    from tracking.folds import train_folds
    from tracking.runs import tracked_run

    with tracked_run(f"{family.name} · {given['dataset']} · {given['folds']} folds"):
        folds = experiment_of(given).folds
        if given.get("out"):
            raise ValueError(
                f"out={given['out']} takes one training: give fold=1 to fold={folds}, each with a "
                "folder of its own."
            )
        file = given["config"]
        settings = read_settings(user_path(file), family.name) if file else {}
        # without these options a fold of Tc is the same training as before there were any
        left_out = QUANTITY if given.get("quantity", TC.name) == TC.name else ()
        options = {name: value for name, value in given.items() if name not in left_out}
        train_folds(family, options, folds, settings)


def apply_settings_file(file: str, model_family: str, configs: list[Any]) -> list[Any]:
    """The configs, with the settings of a file (empty: none) in place of the options'."""
    if not file:
        return configs
    settings = read_settings(user_path(file), model_family)
    shown = ", ".join(f"{name} {value}" for name, value in settings.items())
    print(f"From {file}: {shown}.", flush=True)
    return apply_settings(settings, *configs)


def _refuse_mlflow_run(out: str) -> None:
    if "MLFLOW_RUN_ID" in os.environ:
        raise ValueError(
            f"out={Path(out)} trains without MLflow, so not by mlflow run: start it with "
            "python -m entrypoints.NAME --out FOLDER."
        )


def all_families() -> typer.Typer:
    """A command group with one command per model family."""
    app = typer.Typer(add_completion=False, no_args_is_help=True)
    for family in trained_families():
        add_command(app, family.name, train_app(family.name))
    return app


if __name__ == "__main__":
    all_families()()
