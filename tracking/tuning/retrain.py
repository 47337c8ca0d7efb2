"""Trains the default settings and a study's best settings in full, when its trials are done."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from supervision.runtime.files import cache_dir
from supervision.runtime.subprocesses import child_environment
from tracking import runs
from tracking.tuning.trials import StudyPlan

EXPERIMENT_OPTIONS = ("dataset", "data", "split", "limit", "seed", "allow_loss")  # of train_*
TRAINING_KEY_TAG = "trained_by"  # a hash of the study, the options and the settings


def retrain_default_and_best(
    plan: StudyPlan, best: Mapping[str, Any], settings_file: Path
) -> dict[str, str]:
    """Train the default and the ``best`` settings; returns the run ids by role.

    The roles are ``default`` and ``tuned``; only ``default`` if both have equal settings.
    ``settings_file`` holds the best settings. Their model is registered and may become champion.
    Raises ChildProcessError if a training fails.
    """
    differs = dict(best) != plan.defaults()
    trained = {"default": _train(plan, "default", {}, "", register=not differs)}
    if differs:
        trained["tuned"] = _train(plan, "tuned", best, str(settings_file), register=True)
    return trained


def _train(
    plan: StudyPlan,
    role: str,
    settings: Mapping[str, Any],
    settings_file: str,
    *,
    register: bool,
) -> str:
    """Train with the command that a user would run; returns the run's id.

    A training that the study has finished is not repeated; an unfinished one is resumed.
    """
    options = _options(plan) | {"register": register}
    identity = json.dumps([plan.study, options, dict(settings)], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    if run := _finished_run(key):
        return run
    checkpoints = cache_dir() / "checkpoints" / f"study-{key}"
    options |= {"config": settings_file}
    if plan.family.has_epochs:
        # a separate checkpoint folder, so that it does not resume a training of the user
        options |= {"device": plan.device, "parallel": plan.experiment.parallel}
        options |= {"checkpoint_dir": checkpoints}
    tags = {
        MLFLOW_PARENT_RUN_ID: runs.run_id(),
        "study": plan.study,
        "role": role,
        TRAINING_KEY_TAG: key,
    }
    print(f"Training with the {role} settings.", flush=True)
    status = _run_command(f"entrypoints.{plan.family.entry_point}", options, tags)
    run = _finished_run(key)
    if status or not run:
        raise ChildProcessError(
            f"The training with the {role} settings ended with exit status {status}. The same "
            "command resumes the study at this training."
        )
    if checkpoints.is_dir():
        shutil.rmtree(checkpoints)
    client = mlflow.MlflowClient()
    client.update_run(run, name=f"{role} · {client.get_run(run).info.run_name}")
    return run


def _options(plan: StudyPlan) -> dict[str, Any]:
    """The options of the training command that the result depends on, besides the settings."""
    experiment = plan.experiment
    options = {name: getattr(experiment, name) for name in EXPERIMENT_OPTIONS}
    if experiment.archive:
        options |= {"dataset": experiment.archive, "data": ""}
    if plan.family.has_epochs:
        options |= {"weights": plan.weights, "epochs": plan.final_epochs or "auto"}
    return options


def _run_command(module: str, options: Mapping[str, Any], tags: Mapping[str, str]) -> int:
    """Run a command whose MLflow run gets these tags; returns its exit status."""
    command = [sys.executable, "-m", module]
    for name, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else value
        command.append(f"--{name.replace('_', '-')}={text}")
    environment = child_environment({"MLFLOW_RUN_CONTEXT": json.dumps(dict(tags))})
    environment.pop("MLFLOW_RUN_ID", None)  # the training would join the study's run
    with subprocess.Popen(command, env=environment) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()  # the training writes a checkpoint and ends
            raise


def _finished_run(key: str) -> str:
    """The id of the finished run of a training; empty if there is none."""
    found = mlflow.search_runs(
        filter_string=f"tags.{TRAINING_KEY_TAG} = '{key}' and attributes.status = 'FINISHED'",
        search_all_experiments=True,
        output_format="list",
    )
    return str(found[0].info.run_id) if found else ""
