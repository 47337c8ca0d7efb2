"""What all entry points share: how options are read, and errors said in one sentence."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from entrypoints.launch_torchrun import restart_with_torchrun
from supervision.data.errors import CrystalError, DatasetError
from supervision.data.splits import LeakError
from supervision.experiment.run import follow
from supervision.experiment.run_folder import RunFolderError, train_into_folder
from supervision.experiment.settings_file import configured, read_settings
from supervision.experiment.spec import Experiment
from supervision.models.setup import ModelSetup
from supervision.models.weights import WeightsError
from supervision.runtime.errors import StoreError, machine_fault
from supervision.runtime.lock import BusyError
from supervision.training.checkpoint import CheckpointError
from supervision.training.distributed import join_process_group

EXPECTED = (
    BusyError, CheckpointError, CrystalError, DatasetError, FloatingPointError, RunFolderError,
    LeakError, OSError, StoreError, ValueError, WeightsError,
)  # fmt: skip
Value = TypeVar("Value", int, float)

# options that mean the same wherever they are taken
DatasetOption = Annotated[
    str, typer.Option(help="classics, 3dsc, a folder, a CSV table, or an archive")
]
DataOption = Annotated[str, typer.Option(help="3dsc: local archive or folder; empty: download")]
SplitOption = Annotated[str, typer.Option(help="random, chemsys or family")]
EpochsOption = Annotated[str, typer.Option(help="epochs, or auto")]
PatienceOption = Annotated[str, typer.Option(help="epochs without gain, or auto")]
TargetOption = Annotated[str, typer.Option(help="sqrt, log1p or identity")]
LimitOption = Annotated[int, typer.Option(help="first N materials after a shuffle; 0: all")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
RegisterOption = Annotated[str, typer.Option(help="register the model: true or false")]
LossOption = Annotated[str, typer.Option(help="go on when over 5% is rejected")]
CheckpointsOption = Annotated[str, typer.Option(help="folder of last.pt and best.pt")]
ResumeOption = Annotated[str, typer.Option(help="auto, never, or a checkpoint folder")]
ParallelOption = Annotated[str, typer.Option(help="beside another training: true or false")]
TorchrunOption = Annotated[str, typer.Option(help="by several processes: options of torchrun")]
ConfigOption = Annotated[str, typer.Option(help="settings of a study's best trial (JSON)")]
OutOption = Annotated[str, typer.Option(help="train into this folder, without MLflow")]


def train_where(
    out: str, title: str, make: Callable[[], tuple[ModelSetup, Experiment]], *, torchrun: str = ""
) -> None:
    """Train into the folder ``out`` or, where none is named, in an MLflow run.

    With ``torchrun`` by several processes, of which the first one writes and reports.
    """
    restart_with_torchrun(torchrun)

    def train() -> None:
        with join_process_group() as group:
            if not group.is_main:
                print(
                    f"Process {group.rank + 1} of {group.size}: the first one reports.", flush=True
                )
                follow(*make())
            elif out:
                _train_into(Path(out).expanduser(), make)
            else:
                _train_tracked(title, make)

    run_cli(train)


def _train_tracked(title: str, make: Callable[[], tuple[ModelSetup, Experiment]]) -> None:
    from tracking import runs  # not on a machine that trains from an archive
    from tracking.train import train

    with runs.tracked_run(title):
        train(*make())


def _train_into(folder: Path, make: Callable[[], tuple[ModelSetup, Experiment]]) -> None:
    if "MLFLOW_RUN_ID" in os.environ:
        raise ValueError(
            f"out={folder} trains without MLflow, so not by mlflow run: start it with "
            "python -m entrypoints.NAME --out FOLDER."
        )
    train_into_folder(folder, make)


def run_cli(main: Callable[[], None]) -> None:
    """Run a command; a mistake of the user's is one sentence and exit 2, Ctrl-C is exit 130."""
    try:
        main()
    except KeyboardInterrupt:
        said = "Stopped. What was logged so far is kept; the same command goes on from there."
        typer.echo(said, err=True)
        sys.exit(130)
    except ModuleNotFoundError as error:
        typer.echo(
            f"error: {error.name} is not installed here; a training goes without it from an "
            "archive (--dataset FILE.zip) into a folder (--out FOLDER).",
            err=True,
        )
        sys.exit(2)
    except Exception as error:
        fault = machine_fault(error)
        if not fault and not isinstance(error, EXPECTED):
            raise
        typer.echo(f"error: {fault or error}", err=True)
        sys.exit(2)


def parse_bool(text: str, name: str) -> bool:
    """``true`` or ``false`` from a command line: MLproject parameters always carry a value."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name} must be true or false, got '{text}'.")
    return text.lower() == "true"


def experiment_of(
    register: str, allow_loss: str, parallel: str = "false", **chosen: Any
) -> Experiment:
    """The experiment that options describe; ValueError, naming it, for one that cannot be."""
    return Experiment.of(
        register=parse_bool(register, "register"),
        allow_loss=parse_bool(allow_loss, "allow_loss"),
        parallel=parse_bool(parallel, "parallel"),
        **chosen,
    )


def chosen(file: str, model_family: str, *configs: Any) -> list[Any]:
    """The configurations, with the settings of a file in the place of the options'."""
    if not file:
        return list(configs)
    settings = read_settings(Path(file).expanduser(), model_family)
    told = ", ".join(f"{name} {value}" for name, value in settings.items())
    print(f"From {file}: {told}.", flush=True)
    return configured(settings, *configs)


def parse_auto(text: str, preset: Value, name: str) -> Value:
    """A number from the command line, or the preset where it says ``auto``."""
    if text == "auto":
        return preset
    try:
        return type(preset)(text)
    except ValueError as error:
        raise ValueError(f"{name} must be a number or auto, got '{text}'.") from error
