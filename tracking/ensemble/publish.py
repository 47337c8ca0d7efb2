"""Evaluates an ensemble, says what each member is worth, and logs and registers its model."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
import pandas as pd

from supervision.answer.answerer import ANSWER_FOLDER
from supervision.answer.calibration import Calibration
from supervision.answer.domain import DOMAINS
from supervision.answer.known import KnownMaterials
from supervision.data.datasets.classics import load_classics
from supervision.models.ensemble.predictor import EnsemblePredictor, write_ensemble
from supervision.models.ensemble.stacking import Stack
from supervision.models.predictor import PROVENANCE_FILE
from tracking import plots, runs
from tracking.comparison.results import Result, check_comparable, predictor_folder
from tracking.ensemble.members import member_predictions
from tracking.ensemble.stack_folds import choose_method, fit_stacks, stacked, worth_of_members
from tracking.evaluation_report import (
    Evaluation,
    describe_evaluation,
    errors_section,
    log_evaluation,
)
from tracking.mlflow_logger import MODEL, register_model
from tracking.serving import registry
from tracking.serving.champion import Candidate
from tracking.serving.model_page import card, data_section

AUTO = "auto"
FAMILY = EnsemblePredictor.model_family
NO_LICENSE = "none"


def publish(members: Mapping[str, Result], method: str, *, register: bool) -> None:
    """Stack finished runs in the active run; with a single split, log and register the model.

    Args:
        members: the runs by the name of their member.
        method: ``mean``, ``nnls``, ``levels``, or ``auto`` (``choose_method``).

    Raises ValueError where the runs are of different data or splits.
    """
    results = list(members.values())
    check_comparable(results)
    table, names = member_predictions(members), list(members)
    method = choose_method(table, names) if method == AUTO else method
    first = results[0]
    title = f"{FAMILY} · {first.dataset} · {first.split} · {method} of {len(names)}"
    _log_inputs(members, method, title)
    predicted = stacked(table, names, method)
    evaluated = log_evaluation(predicted, (), title)
    worth = worth_of_members(table, names, method)
    runs.log_table(worth, "members.csv")
    runs.log_figures({"members": plots.members(worth, title)})
    worths = _describe(worth, method)
    print(worths, flush=True)
    what = f"Ensemble of {', '.join(names)} on {first.dataset}, split `{first.split}`, by {method}."
    look = {"plots/members.png": "what each member adds"}
    describe_evaluation(evaluated, what, look, f"```\n{worths}\n```")
    if first.has_folds:
        print("Not registered: folds evaluate; a single split (folds=1) makes a model.")
        return
    (stack,) = fit_stacks(table, names, method).values()
    _log_model(members, stack, predicted[predicted["split"] == "val"])
    if register:
        _register(first, evaluated, int((table["split"] == "val").sum()), what)


def _log_inputs(members: Mapping[str, Result], method: str, title: str) -> None:
    first = next(iter(members.values()))
    shared = ("dataset_hash", "split_hash", "folds", "seed", "limit", "apart")
    params = {name: first.params[name] for name in shared if name in first.params}
    ids = {f"run_{name}": result.id for name, result in members.items()}
    runs.log_params(params | ids | {"stacking_used": method})
    tags = {
        "dataset": first.dataset,
        "split": first.split.partition(",")[0],
        "model_family": FAMILY,
    }
    mlflow.set_tags(tags | {"mlflow.runName": title, "pretrained": "false", "weights": "none"})


def _log_model(members: Mapping[str, Result], stack: Stack, held_out: pd.DataFrame) -> None:
    """The model with its provenance and answer data: it knows what its members know.

    ``held_out`` are validation materials, predicted by stacks of other families.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "predictor"
        folder.mkdir()
        saved = {name: predictor_folder(result.id) for name, result in members.items()}
        write_ensemble(folder, saved, stack)
        origins = [json.loads((path / PROVENANCE_FILE).read_text()) for path in saved.values()]
        learned = sorted({id for origin in origins for id in origin["materials"]})
        provenance = origins[0] | {"run_id": runs.run_id(), "materials": learned}
        (folder / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=1))
        own = folder / ANSWER_FOLDER
        own.mkdir()
        known = [KnownMaterials.load(path / ANSWER_FOLDER) for path in saved.values()]
        KnownMaterials.union(known).save(own)
        domain = held_out["domain"].map(DOMAINS.index)
        Calibration(*(c.to_numpy() for c in (held_out["tc"], held_out["tc_pred"], domain))).save(
            own
        )
        example = load_classics()[0].cif
        uri = registry.log_predictor(folder, FAMILY, example, _license(members))
    mlflow.set_tag(MODEL, uri)


def _license(members: Mapping[str, Result]) -> str:
    """The licences of the pretrained weights in any member; ``none`` where there are none."""
    found = {
        mlflow.get_run(r.id).data.tags.get("weights_license", NO_LICENSE) for r in members.values()
    }
    return "; ".join(sorted(found - {NO_LICENSE})) or NO_LICENSE


def _register(first: Result, evaluated: Evaluation, validated: int, what: str) -> None:
    candidate = Candidate(
        dataset=first.dataset,
        split=first.split,
        split_hash=first.split_hash,
        val_mae=evaluated.metrics["val_mae_final"],
        constant_mae=evaluated.metrics["null_constant_median_val_mae"],
        limit=int(first.params["limit"]),
        validation_materials=validated,
        against_constant=evaluated.val_against_constant,
    )
    extra = list(filter(None, first.params.get("extra", "").split(",")))
    data = data_section(int(first.params["materials"]), first.dataset, extra)
    register_model(FAMILY, candidate, {}, card(what, data, errors_section(evaluated)))


def _describe(worth: pd.DataFrame, method: str) -> str:
    """What each member adds, in lines."""
    lines = [f"Stacked by {method}. Without each member, the test MAE changes by:"]
    for row in worth.to_dict("records"):
        weight = f", weight {row['weight']:.2f}" if "weight" in row else ""
        text = f"  {row['member']} ({row['mae']:.2f} K alone{weight})"
        if "mae_difference" in row:
            low, high = -row["mae_high"], -row["mae_low"]
            text += f": {-row['mae_difference']:+.2f} K ({low:+.2f} to {high:+.2f})"
        lines.append(text)
    return "\n".join(lines)
