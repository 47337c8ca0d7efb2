"""Trains the default settings and a study's best settings in full, when its trials are done."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

from tracking.child_training import train_child
from tracking.tuning.trials import StudyPlan

EXPERIMENT_OPTIONS = (
    "dataset", "data", "split", "apart", "extra", "extra_data", "extra_weights", "limit", "seed",
    "allow_loss",
)  # fmt: skip


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
    """Train with these settings; returns the run's id."""
    run = train_child(
        plan.family,
        _options(plan) | {"register": register, "config": settings_file},
        name=f"with the {role} settings of the study",
        tags={"study": plan.study, "role": role},
        identity=[plan.study, dict(settings)],
    )
    client = mlflow.MlflowClient()
    name = client.get_run(run).info.run_name
    if not name.startswith(role):
        client.update_run(run, name=f"{role} · {name}")
    return run


def _options(plan: StudyPlan) -> dict[str, Any]:
    """The options of the training command that the result depends on, besides the settings."""
    experiment = plan.experiment
    options = {name: getattr(experiment, name) for name in EXPERIMENT_OPTIONS}
    if experiment.archive:
        options |= {"dataset": experiment.archive, "data": ""}
    if plan.family.has_epochs:
        options |= {"weights": plan.weights, "epochs": plan.final_epochs or "auto"}
        options |= {"device": plan.device, "parallel": experiment.parallel}
    return options
