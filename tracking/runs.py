"""A training as an MLflow run: what is logged, under which names, and how it ends."""

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
from matplotlib.figure import Figure
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import RunInfo, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.tracking.fluent import _get_experiment_id

from supervision.data.crystals import Material, Reject
from supervision.runtime.errors import StoreError, machine_fault, one_line
from supervision.runtime.images import save_png
from supervision.runtime.signals import interrupt_on_signal
from supervision.runtime.text import cell
from supervision.runtime.version import ROOT
from supervision.training.callbacks import EpochRecord
from tracking import restore_killed_status as killed
from tracking.dead_runs import close_dead_runs, this_process

PROJECT = "mlflow.project.entryPoint"  # a tag that ``mlflow run`` gives to the run it makes


@contextmanager
def tracked_run(
    name: str,
    *,
    began: float | None = None,
    ended: float | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Start a run, or join the one that ``mlflow run`` made, and end it as what it was.

    Everything that can fail belongs inside, the reading of options too. What ran elsewhere
    ``began`` and ``ended`` there (seconds since 1970). ``tags`` it has from its first moment.

    Ctrl-C and SIGTERM end it as KILLED, an error as FAILED with its story in ``failure.txt``; what
    was logged stays logged.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a line for every file
    # It tells of a store's error with a traceback of its own, before it raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with store_errors(), interrupt_on_signal() as interrupted:
        close_dead_runs()
        joined = "MLFLOW_RUN_ID" in os.environ
        run = mlflow.start_run(
            run_id=None if began is None else _begun(began),
            run_name=None if joined else name,
            tags=this_process() | dict(tags or {}),
            log_system_metrics=False,  # tracking.system_metrics does
        )
        try:
            mlflow.set_tags({"mlflow.runName": name} | this_process())
            yield
        except BaseException as error:
            failed = _failed_before(error)
            if interrupted.is_set() and not failed:
                mlflow.end_run(RunStatus.to_string(RunStatus.KILLED))
                if joined:
                    killed.start(run.info.run_id, _waiting())
                raise KeyboardInterrupt from error  # compiled code may have raised its own
            with suppress(MlflowException, OSError):  # of a store that is what failed: see below
                why = failed or error
                mlflow.set_tag("failure", f"{type(why).__name__}: {why}"[:500])
                mlflow.log_text(_without_paths(traceback.format_exc()), "failure.txt")
            with suppress(MlflowException, OSError):  # the next start closes the run
                mlflow.end_run(RunStatus.to_string(RunStatus.FAILED))
            raise
        mlflow.end_run()
        if ended is not None:
            client = mlflow.MlflowClient()
            client.set_terminated(run.info.run_id, end_time=round(1000 * ended))


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise what MLflow raises within as a StoreError of one sentence."""
    try:
        yield
    except MlflowException as error:
        if fault := machine_fault(error):
            raise StoreError(fault) from error
        if "database is locked" in str(error):
            raise StoreError(
                f"The tracking store {mlflow.get_tracking_uri()} is locked: another process has "
                "been writing to it for over 20 seconds. Give the same command again, or start "
                "`mlflow server` and let MLFLOW_TRACKING_URI name that: it takes many at once."
            ) from error
        raise StoreError(
            f"The tracking store failed ({one_line(error)}). `python -m entrypoints.doctor` looks "
            "whether it answers."
        ) from error


def _without_paths(text: str) -> str:
    """A traceback without the folders of this machine: artifacts are for others to read."""
    known = {str(ROOT): "", sys.prefix: "", sys.base_prefix: "", str(Path.home()): "~"}
    for folder, short in known.items():
        text = text.replace(f"{folder}{os.sep}", f"{short}{os.sep}".lstrip(os.sep))
    return text


def _failed_before(error: BaseException) -> BaseException | None:
    """In a team, the error that an interrupt came after: torchrun interrupts whom another leaves.

    Elsewhere none: an interrupt is one, whatever compiled code made of it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    while error.__context__ is not None:
        error = error.__context__
    return None if isinstance(error, KeyboardInterrupt) else error


def _begun(at: float) -> str:
    """The id of a new run that began then, otherwise as MLflow makes them."""
    experiment = str(_get_experiment_id())
    made = mlflow.MlflowClient().create_run(experiment, round(1000 * at), resolve_tags())
    return str(made.info.run_id)


def _waiting() -> int:
    """The process id of ``mlflow run``: it started us, or torchrun in its place, and that us."""
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


def describe(params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Log what the active run was asked to do, and tag it."""
    mlflow.set_tags(dict(tags))
    log_params(params)


def log_params(params: Mapping[str, Any]) -> None:
    """Log parameters, leaving alone those that ``mlflow run`` has logged already.

    Where a value was worked out (``epochs=auto``), it goes under ``<name>_used``.
    """
    known = mlflow.MlflowClient().get_run(run_id()).data.params
    fresh = {}
    for name, value in params.items():
        if name not in known:
            fresh[name] = value
        elif not _same(known[name], value) and f"{name}_used" not in known:
            fresh[f"{name}_used"] = value
    mlflow.log_params(fresh)


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
    """The epochs that the active run has."""
    history = mlflow.MlflowClient().get_metric_history(run_id(), "val_mae")
    return {metric.step for metric in history}


def log_note(text: str) -> None:
    """A sentence that the run's page shows under ``notes``."""
    print(text, flush=True)
    mlflow.set_tag("notes", "\n".join(filter(None, (tag("notes"), text))))


def log_metrics(metrics: Mapping[str, float]) -> None:
    """Log what the run does not say already: one that is carried on may come by it again."""
    known = mlflow.MlflowClient().get_run(run_id()).data.metrics
    mlflow.log_metrics({name: value for name, value in metrics.items() if known.get(name) != value})


def is_there(run: str) -> bool:
    """Whether the store has this run."""
    return _info(run) is not None


def is_unfinished(run: str) -> bool:
    """Whether the store has this run, and it has not come to its end."""
    info = _info(run)
    return info is not None and info.status != RunStatus.to_string(RunStatus.FINISHED)


def _info(run: str) -> RunInfo | None:
    """What the store says of a run; None where it has none, or a deleted one."""
    try:
        info = mlflow.MlflowClient().get_run(run).info
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return info if info.lifecycle_stage == "active" else None


def resume_run(earlier: str) -> None:
    """Go on in an earlier run in the place of the active one.

    The one that ``mlflow run`` made for this command says so in its tag ``resumes``; one that this
    process made by itself holds nothing, and is deleted.
    """
    here, client = run_id(), mlflow.MlflowClient()
    if here == earlier:
        return
    mark_as_helper(earlier, "resumes")
    mlflow.end_run()
    if PROJECT in client.get_run(here).data.tags:
        client.update_run(here, RunStatus.to_string(RunStatus.RUNNING))  # until mlflow run ends it
    else:
        client.delete_run(here)
    mlflow.start_run(run_id=earlier, log_system_metrics=False)
    mlflow.set_tags(this_process())
    if "failure" in client.get_run(earlier).data.tags:
        mlflow.delete_tag("failure")


def mark_as_helper(other: str, role: str) -> None:
    """Let the active run's name and a tag say what it does for another one: ``resumes``, ..."""
    mlflow.set_tags({role: other, "mlflow.runName": f"{role} {other[:8]}"})


def log_table(table: pd.DataFrame, name: str) -> None:
    """A table as a CSV artifact."""
    mlflow.log_text(table.to_csv(index=False), name)


def log_rejects(rejects: Sequence[Reject]) -> None:
    """rejects.csv (file, reason): also when empty, so that nobody has to wonder."""
    log_table(
        pd.DataFrame(
            [(cell(r.name), cell(r.reason)) for r in rejects],
            columns=["file", "reason"],
        ),
        "rejects.csv",
    )


def log_dataset(materials: Sequence[Material], name: str) -> None:
    """The materials as the run's MLflow dataset: the runs table then says what each was made on."""
    rows = [(m.id, m.formula, m.tc) for m in materials]
    table = pd.DataFrame(rows, columns=["material_id", "formula", "tc"])
    mlflow.log_input(from_pandas(table, name=name, targets="tc"), context="training")


def log_file(path: Path) -> None:
    """A file as an artifact."""
    mlflow.log_artifact(str(path))


def log_figures(figures: Mapping[str, Figure]) -> None:
    """Figures as ``plots/<name>.png``."""
    for name, figure in figures.items():
        mlflow.log_figure(figure, f"plots/{name}.png")


def log_picture(rgb: np.ndarray, name: str) -> None:
    """An RGB picture ``[h, w, 3]`` as a PNG artifact."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        save_png(path, rgb)
        mlflow.log_artifact(str(path), str(Path(name).parent))
