"""The running_trainings that a study ends with: what nobody chose, and what it chose."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from supervision.runtime.files import cache_dir
from supervision.runtime.version import ROOT
from tracking import runs
from tracking.tuning.trials import NETWORKS, StudyPlan

TRAINED_BY = {
    "vision": "train_dino",
    "graph": "train_alignn",
    "composition": "train_composition",
}
ASKED = ("dataset", "data", "split", "limit", "seed", "allow_loss")  # options of train_*
MARK = "trained_by"  # a tag: equal for equal running_trainings of a study


def retrain_default_and_best(
    plan: StudyPlan, best: Mapping[str, Any], settings: Path
) -> dict[str, str]:
    """The runs of the default and of the ``best`` settings, by role; one if they are equal.

    ``settings`` is the file of the best ones. The best may become champion.
    """
    chosen = dict(best) != plan.defaults()
    trained = {"default": _train(plan, "default", {}, "", register=not chosen)}
    if chosen:
        trained["tuned"] = _train(plan, "tuned", best, str(settings), register=True)
    return trained


def _train(
    plan: StudyPlan, role: str, chosen: Mapping[str, Any], settings: str, *, register: bool
) -> str:
    """Train to the end by the command that a user would give; returns the run's id.

    What the study has finished is not trained again, what is unfinished is carried on.
    Raises ChildProcessError where it does not come to its end.
    """
    options = _options(plan) | {"register": register}
    told = json.dumps([plan.study, options, dict(chosen)], sort_keys=True)
    mark = hashlib.sha256(told.encode()).hexdigest()[:16]
    if done := _finished(mark):
        return done
    checkpoints = cache_dir() / "checkpoints" / f"study-{mark}"
    options |= {"config": settings}
    if (
        plan.model_family in NETWORKS
    ):  # in a folder of its own, it carries on no training of the user's
        options |= {"device": plan.device, "parallel": plan.experiment.parallel}
        options |= {"checkpoint_dir": checkpoints}
    tags = {MLFLOW_PARENT_RUN_ID: runs.run_id(), "study": plan.study, "role": role, MARK: mark}
    print(f"Training: {role}.", flush=True)
    status = _run(f"entrypoints.{TRAINED_BY[plan.model_family]}", options, tags)
    done = _finished(mark)
    if status or not done:
        raise ChildProcessError(
            f"The training by the {role} settings ended with exit status {status}; the same "
            "command carries the study on from there."
        )
    if checkpoints.is_dir():
        shutil.rmtree(checkpoints)
    client = mlflow.MlflowClient()
    client.update_run(done, name=f"{role} · {client.get_run(done).info.run_name}")
    return done


def _options(plan: StudyPlan) -> dict[str, Any]:
    """What makes a training of the study's what it is, beside its settings."""
    experiment = plan.experiment
    options = {name: getattr(experiment, name) for name in ASKED}
    if experiment.archive:
        options |= {"dataset": experiment.archive, "data": ""}
    if plan.model_family in NETWORKS:
        options |= {"weights": plan.weights, "epochs": plan.final_epochs or "auto"}
    return options


def _run(module: str, options: Mapping[str, Any], tags: Mapping[str, str]) -> int:
    """Run a command whose MLflow run has these tags; returns its exit status."""
    command = [sys.executable, "-m", module]
    for name, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else value
        command.append(f"--{name.replace('_', '-')}={text}")
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    environment = kept | {"MLFLOW_RUN_CONTEXT": json.dumps(dict(tags))}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()  # it writes down where it is
            raise


def _finished(mark: str) -> str:
    """The finished run of a training; empty where there is none."""
    found = mlflow.search_runs(
        filter_string=f"tags.{MARK} = '{mark}' and attributes.status = 'FINISHED'",
        search_all_experiments=True,
        output_format="list",
    )
    return str(found[0].info.run_id) if found else ""
