"""A training on all folds: one child run per fold, and their predictions together in the parent."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import mlflow
import pandas as pd

from supervision.data.quantity import TC, Quantity
from supervision.models.families import ModelFamily
from tracking import runs
from tracking.child_training import train_child
from tracking.evaluation_report import describe_evaluation, log_evaluation

FOLD_TAG = "fold"  # of a child run; it is no result of its own
CHILDREN_TAG = "fold_runs"  # of the run of the whole: the ids of its children, by fold
LOGGED_TAGS = (
    "dataset", "split", "weights", "weights_source", "weights_choice", "weights_license",
    "pretrained", "model_family", "code_version", "quantity", "unit",
)  # fmt: skip


def train_folds(
    family: ModelFamily, options: Mapping[str, Any], folds: int, settings: Mapping[str, Any]
) -> None:
    """Train and test a model on every fold, and evaluate all materials in the active run.

    The same command goes on at the first fold that has not finished.

    Args:
        options: of the family's training command.
        settings: those of the file in the option ``config``.
    """
    children = [
        train_child(
            family,
            {**options, "fold": fold, "register": False},
            name=f"fold {fold} of {folds}",
            tags={FOLD_TAG: str(fold)},
            identity=dict(settings),
        )
        for fold in range(1, folds + 1)
    ]
    mlflow.set_tag(CHILDREN_TAG, ",".join(children))
    title = _log_common(children)
    tables = [runs.read_table(run, "predictions.csv") for run in children]
    numbered = [table.assign(fold=number) for number, table in enumerate(tables, start=1)]
    quantity = Quantity.of(options.get("quantity", TC.name), options.get("unit", ""))
    table = pd.concat(numbered, ignore_index=True)
    evaluated = log_evaluation(table, (), title, quantity, has_epochs=family.has_epochs)
    what = (
        f"Training of a model that reads {family.reads}, on {folds} folds in the runs below this "
        "one: every material is predicted once, by the model of its fold."
    )
    describe_evaluation(evaluated, what)
    print(f"Run {runs.run_id()}", flush=True)


def _log_common(children: Sequence[str]) -> str:
    """Log what all folds have in common, and their cost; returns the title of the run.

    Raises ValueError where they were trained on different data.
    """
    found = [mlflow.get_run(run) for run in children]
    if len({run.data.params["dataset_hash"] for run in found}) > 1:
        raise ValueError(
            "The data set has changed since the first folds were trained: delete their runs "
            f"({', '.join(children)}) and give the command again."
        )
    first, *others = (run.data for run in found)
    params, tags = (
        {name: value for name, value in getattr(first, kind).items()
         if all(getattr(data, kind).get(name) == value for data in others)}
        for kind in ("params", "tags")
    )  # fmt: skip
    hashes = "\n".join(run.data.params["split_hash"] for run in found)
    whole = {"fold": 0, "split_hash": sha256(hashes.encode()).hexdigest()}
    own = {name: value for name, value in params.items() if name != "register"}
    runs.log_settings(own | whole, {n: v for n, v in tags.items() if n in LOGGED_TAGS})
    mlflow.log_metric("train_minutes", sum(run.data.metrics["train_minutes"] for run in found))
    number = len(children)
    title = str(found[0].info.run_name).replace(f"fold 1 of {number}", f"{number} folds")
    mlflow.set_tag("mlflow.runName", title)
    return title
