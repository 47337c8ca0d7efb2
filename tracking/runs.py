"""A command as an MLflow run: where it is, what is logged under which names, how it ends."""

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
from filelock import FileLock
from matplotlib.figure import Figure
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Run, RunInfo, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from supervision.data.crystals import Material, Reject
from supervision.data.quantity import TC, Quantity
from supervision.runtime.errors import StoreError, disk_error_message, one_line
from supervision.runtime.images import save_png
from supervision.runtime.lock import LOCK_FILE_MODE, BusyError, machine_lock_folder
from supervision.runtime.signals import interrupt_on_signal
from supervision.runtime.text import csv_cell
from supervision.runtime.version import ROOT
from supervision.training.callbacks import EpochRecord
from tracking import restore_killed_status
from tracking.dead_runs import close_dead_runs, process_tag
from tracking.description import NOTE_TAG, describe_run, run_link
from tracking.mlflow_experiment import describe_experiment, experiment_id

FAILURE_FILE = "failure.txt"
ENTRY_POINT_TAG = "mlflow.project.entryPoint"  # of runs that ``mlflow run`` created
USED = "_used"  # the end of the name of a parameter whose value in use is not the logged one


@contextmanager
def tracked_run(
    name: str,
    *,
    began: float | None = None,
    ended: float | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Start a run, or join the one that ``mlflow run`` created, and end it with the right status.

    Everything that can fail belongs inside, the reading of options too. Ctrl-C and SIGTERM end the
    run as KILLED, an error as FAILED with its traceback in ``failure.txt``; what was logged stays.

    Args:
        began, ended: seconds since 1970, of a training that ran elsewhere.
        tags: what the run has from its first moment.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a line for every file
    # MLflow logs a traceback of a store's error before it raises it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with store_errors(), interrupt_on_signal() as interrupted:
        with _opening_lock():
            close_dead_runs()
        joined = "MLFLOW_RUN_ID" in os.environ
        experiment = None if joined else experiment_id()
        run = mlflow.start_run(
            run_id=None if began is None else _create_run(experiment, began),
            experiment_id=experiment,
            run_name=None if joined else name,
            tags=process_tag() | dict(tags or {}),
            log_system_metrics=False,  # tracking.system_metrics does
        )
        try:
            mlflow.set_tags({"mlflow.runName": name} | process_tag())
            describe_experiment(run.info.experiment_id)
            yield
        except BaseException as error:
            cause = _error_before_interrupt(error)
            if interrupted.is_set() and not cause:
                mlflow.end_run(RunStatus.to_string(RunStatus.KILLED))
                if joined:
                    restore_killed_status.start(run.info.run_id, _mlflow_run_pid())
                raise KeyboardInterrupt from error  # compiled code may have raised its own
            with suppress(MlflowException, OSError):  # the store itself may have failed
                _log_failure(cause or error)
            with suppress(MlflowException, OSError):  # the next start closes the run
                mlflow.end_run(RunStatus.to_string(RunStatus.FAILED))
            raise
        mlflow.end_run()
        if ended is not None:
            client = mlflow.MlflowClient()
            client.set_terminated(run.info.run_id, end_time=round(1000 * ended))


def _opening_lock() -> FileLock:
    """Held while a command opens the store: MLflow creates the tables of a new one without."""
    digest = sha256(mlflow.get_tracking_uri().encode()).hexdigest()
    return FileLock(machine_lock_folder() / f"store-{digest[:16]}", mode=LOCK_FILE_MODE)


def _log_failure(error: BaseException) -> None:
    """The tag ``failure``, the description and, but for a refusal, the traceback."""
    mlflow.set_tag("failure", f"{type(error).__name__}: {error}"[:500])
    look = {}
    if not isinstance(error, BusyError):
        mlflow.log_text(_without_paths(traceback.format_exc()), FAILURE_FILE)
        look = {FAILURE_FILE: "the traceback"}
    describe_run("This run has failed.", f"{type(error).__name__}: {one_line(error)}.", look)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn MLflow's exceptions within the block into a StoreError of one sentence."""
    try:
        yield
    except MlflowException as error:
        if fault := disk_error_message(error):
            raise StoreError(fault) from error
        if "database is locked" in str(error):
            raise StoreError(
                f"The tracking store {mlflow.get_tracking_uri()} is locked: another process has "
                "been writing to it for over 20 seconds. Give the same command again, or start "
                "`mlflow server` and set MLFLOW_TRACKING_URI to it: it serves many processes."
            ) from error
        raise StoreError(
            f"The tracking store failed ({one_line(error)}). `python -m entrypoints.doctor` "
            "checks whether it answers."
        ) from error


def _without_paths(text: str) -> str:
    """A traceback without the folders of this machine: others read the artifacts."""
    known = {str(ROOT): "", sys.prefix: "", sys.base_prefix: "", str(Path.home()): "~"}
    for folder, short in known.items():
        text = text.replace(f"{folder}{os.sep}", f"{short}{os.sep}".lstrip(os.sep))
    return text


def _error_before_interrupt(error: BaseException) -> BaseException | None:
    """Under torchrun, the error that an interrupt came after: it interrupts the other processes.

    Otherwise None: an interrupt is the cause, whatever exception compiled code made of it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    while error.__context__ is not None:
        error = error.__context__
    return None if isinstance(error, KeyboardInterrupt) else error


def _create_run(experiment: str | None, began: float) -> str:
    """The id of a new run with this start time (seconds since 1970)."""
    assert experiment is not None, "mlflow run imports nothing"
    run = mlflow.MlflowClient().create_run(experiment, round(1000 * began), resolve_tags())
    return str(run.info.run_id)


def _mlflow_run_pid() -> int:
    """The process id of ``mlflow run``, which started this process, or torchrun, which did."""
    parent = psutil.Process(os.getppid())
    return parent.ppid() if "TORCHELASTIC_RUN_ID" in os.environ else parent.pid


def run_id() -> str:
    """The active run's id."""
    active = mlflow.active_run()
    assert active is not None, "this belongs inside a tracked_run"
    return str(active.info.run_id)


def tag(name: str) -> str:
    """A tag of the active run; empty where it has none of this name."""
    return mlflow.MlflowClient().get_run(run_id()).data.tags.get(name, "")


def description(run: str) -> str:
    """The description of a run; empty where it has none."""
    return mlflow.MlflowClient().get_run(run).data.tags.get(NOTE_TAG, "")


def log_settings(params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Log the parameters of the active run, and tag it."""
    mlflow.set_tags(dict(tags))
    log_params(params)


def log_params(params: Mapping[str, Any]) -> None:
    """Log parameters, except those that ``mlflow run`` has logged already.

    Where the value in use differs from the logged one (``epochs=auto``), it is ``<name>_used``;
    ``used_params`` reads it.
    """
    known = mlflow.MlflowClient().get_run(run_id()).data.params
    fresh = {}
    for name, value in params.items():
        if name not in known:
            fresh[name] = value
        elif not _same(known[name], value) and f"{name}{USED}" not in known:
            fresh[f"{name}{USED}"] = value
    mlflow.log_params(fresh)


def used_params(run: Run) -> dict[str, str]:
    """The parameters of a run with the values that were in use.

    ``mlflow run`` logs values as it quotes them for the shell: an empty one is ``''``.
    """
    logged = {name: "" if v == "''" else v for name, v in run.data.params.items()}
    return logged | {n.removesuffix(USED): v for n, v in logged.items() if n.endswith(USED)}


def _same(logged: str, value: Any) -> bool:
    if isinstance(value, bool):
        return logged.lower() == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(logged) == float(value)
        except ValueError:
            return False
    return logged == str(value)


def log_epoch(record: EpochRecord, at: float | None = None) -> None:
    """One epoch's losses and errors, with the epoch as the step; ``at`` seconds since 1970."""
    timestamp = None if at is None else round(1000 * at)
    mlflow.log_metrics(record.metrics(), step=record.epoch, timestamp=timestamp)


def logged_epochs() -> set[int]:
    """The epochs that the active run has logged."""
    history = mlflow.MlflowClient().get_metric_history(run_id(), "val_mae")
    return {metric.step for metric in history}


def log_note(text: str) -> None:
    """Print a sentence and add it to the tag ``notes``."""
    print(text, flush=True)
    mlflow.set_tag("notes", "\n".join(filter(None, (tag("notes"), text))))


def log_metrics(metrics: Mapping[str, float]) -> None:
    """Log the metrics whose values are new: a resumed run may compute some again."""
    known = mlflow.MlflowClient().get_run(run_id()).data.metrics
    mlflow.log_metrics({name: value for name, value in metrics.items() if known.get(name) != value})


def is_there(run: str) -> bool:
    """Whether the store has this run."""
    return _info(run) is not None


def is_unfinished(run: str) -> bool:
    """Whether the store has this run, and it has not finished."""
    info = _info(run)
    return info is not None and info.status != RunStatus.to_string(RunStatus.FINISHED)


def _info(run: str) -> RunInfo | None:
    """The store's info of a run; None where it has no such run, or a deleted one."""
    try:
        info = mlflow.MlflowClient().get_run(run).info
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return info if info.lifecycle_stage == "active" else None


def resume_run(earlier: str) -> None:
    """Make an earlier run the active one.

    The run that ``mlflow run`` created for this command gets the tag ``resumes``; a run that this
    process created is empty, and is deleted.
    """
    here, client = run_id(), mlflow.MlflowClient()
    if here == earlier:
        return
    mark_as_helper(earlier, "resumes")
    mlflow.end_run()
    if ENTRY_POINT_TAG in client.get_run(here).data.tags:
        client.update_run(here, RunStatus.to_string(RunStatus.RUNNING))  # until mlflow run ends it
    else:
        client.delete_run(here)
    mlflow.start_run(run_id=earlier, log_system_metrics=False)
    mlflow.set_tags(process_tag())
    for name in {"failure", NOTE_TAG} & client.get_run(earlier).data.tags.keys():
        mlflow.delete_tag(name)


def mark_as_helper(other: str, role: str) -> None:
    """Say what the active run does for another one: ``resumes``, ``helps``."""
    mlflow.set_tags({role: other, "mlflow.runName": f"{role} {other[:8]}"})
    describe_run(
        f"This command {role} [another run]({run_link(other)}), which has the results.", ""
    )


def log_table(table: pd.DataFrame, name: str) -> None:
    """A table as a CSV artifact."""
    mlflow.log_text(table.to_csv(index=False), name)


def read_table(run: str, name: str) -> pd.DataFrame:
    """A CSV artifact of a run as a table. Raises ValueError where it cannot be read."""
    try:
        return pd.read_csv(StringIO(mlflow.artifacts.load_text(f"runs:/{run}/{name}")))
    except (MlflowException, OSError, ValueError) as error:
        raise ValueError(f"Run {run} has no {name} that can be read.") from error


def log_rejects(rejects: Sequence[Reject]) -> None:
    """rejects.csv (file, reason), also when it is empty."""
    log_table(
        pd.DataFrame(
            [(csv_cell(r.name), csv_cell(r.reason)) for r in rejects],
            columns=["file", "reason"],
        ),
        "rejects.csv",
    )


def log_dataset(materials: Sequence[Material], name: str, quantity: Quantity = TC) -> None:
    """The materials as the run's MLflow dataset, which the table of runs shows."""
    rows = [(m.id, m.formula, m.tc) for m in materials]
    table = pd.DataFrame(rows, columns=["material_id", "formula", quantity.name])
    mlflow.log_input(from_pandas(table, name=name, targets=quantity.name), context="training")


def log_file(path: Path) -> None:
    """A file as an artifact."""
    mlflow.log_artifact(str(path))


def log_figures(figures: Mapping[str, Figure]) -> None:
    """Figures as ``plots/<name>.png``."""
    for name, figure in figures.items():
        mlflow.log_figure(figure, f"plots/{name}.png")


def log_image(rgb: np.ndarray, name: str) -> None:
    """An RGB image ``[h, w, 3]`` as a PNG artifact."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        save_png(path, rgb)
        mlflow.log_artifact(str(path), str(Path(name).parent))
