"""A training below the active run: the command that a user would give, in a process of its own."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from supervision.models.families import ModelFamily
from supervision.runtime.files import cache_dir
from supervision.runtime.subprocesses import child_environment
from tracking import runs

KEY_TAG = "trained_by"  # a hash of what identifies the training
FREE_OPTIONS = ("config", "device", "parallel")  # a training with another value is the same one


def train_child(
    family: ModelFamily,
    options: Mapping[str, Any],
    *,
    name: str,
    tags: Mapping[str, str],
    identity: Any = None,
) -> str:
    """Train a model of a family below the active run; returns the run's id.

    A training that has finished before is not repeated; an unfinished one is resumed.

    Args:
        options: of the family's training command.
        name: of the training, in messages.
        tags: of its run.
        identity: what tells this training from others with the same options, such as the content
            of the settings file in ``config``.

    Raises ChildProcessError if the training fails.
    """
    fixed = {k: v for k, v in options.items() if k not in FREE_OPTIONS}
    content = json.dumps([identity, family.name, fixed], sort_keys=True, default=str)
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    if run := finished_child(key):
        return run
    checkpoints = cache_dir() / "checkpoints" / f"child-{key}"
    if family.has_epochs:  # a separate folder, so that it does not resume a training of the user
        options = {**options, "checkpoint_dir": checkpoints}
    print(f"Training {name}.", flush=True)
    parent = {MLFLOW_PARENT_RUN_ID: runs.run_id(), KEY_TAG: key}
    status = _run_command(family.entry_point, options, parent | dict(tags))
    run = finished_child(key)
    if status or not run:
        raise ChildProcessError(
            f"The training {name} ended with exit status {status}; its own message is above. The "
            "same command goes on at this training."
        )
    if checkpoints.is_dir():
        shutil.rmtree(checkpoints)
    return run


def finished_child(key: str) -> str:
    """The id of the finished run of a training; empty if there is none."""
    found = mlflow.search_runs(
        filter_string=f"tags.{KEY_TAG} = '{key}' and attributes.status = 'FINISHED'",
        search_all_experiments=True,
        output_format="list",
    )
    return str(found[0].info.run_id) if found else ""


def _run_command(entry_point: str, options: Mapping[str, Any], tags: Mapping[str, str]) -> int:
    """Run a command whose MLflow run gets these tags; returns its exit status."""
    module, *words = entry_point.split()
    command = [sys.executable, "-m", f"entrypoints.{module}", *words]
    for name, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else value
        command.append(f"--{name.replace('_', '-')}={text}")
    environment = child_environment({"MLFLOW_RUN_CONTEXT": json.dumps(dict(tags))})
    environment.pop("MLFLOW_RUN_ID", None)  # the training would join the active run
    with subprocess.Popen(command, env=environment) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()  # the training writes a checkpoint and ends
            raise
