"""Imports a training that ran on another machine into MLflow, as if it had run here."""

import shutil
from pathlib import Path

import mlflow

from supervision.evaluation.prediction import predict_materials
from supervision.experiment.finished import FinishedRun
from supervision.experiment.run_folder import LOG, PLOTS, RunFolderError
from supervision.models.families import load_predictor
from tracking import runs
from tracking.mlflow_logger import MLflowLogger

CHECKED_MATERIALS = 3
# Two processors may differ by this much, for example in bfloat16: kelvin, and a share of Tc.
TOLERANCE_KELVIN, RELATIVE_TOLERANCE = 0.05, 0.02
FOLDER_HASH_TAG = "imported_from"  # sha256 of all files in the folder


def import_folder(folder: Path) -> None:
    """Log, evaluate and register the training in a run folder.

    Raises RunFolderError if the training is unfinished, if the folder is damaged or was imported
    before, or if the model predicts other values here than on the machine that trained it.
    """
    found = FinishedRun.read(folder)
    _require_new(found)
    _require_same_predictions(found)
    data = found.splits.dataset.name
    with runs.tracked_run(found.spec.title(data), began=found.began, ended=found.ended):
        mlflow.set_tag(FOLDER_HASH_TAG, found.id)
        _log(found)


def _require_new(found: FinishedRun) -> None:
    known = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.{FOLDER_HASH_TAG} = '{found.id}' and attributes.status = 'FINISHED'",
        output_format="list",
    )
    if known:
        raise RunFolderError(f"{found.folder} was imported already: run {known[0].info.run_id}.")


def _require_same_predictions(found: FinishedRun) -> None:
    """The model is logged with the code on this machine, so this code must reproduce it."""
    materials = found.splits.part("test")[:CHECKED_MATERIALS]
    logged = {row.material_id: row.tc_pred for row in found.predictions}
    with_unit = found.spec.quantity.with_unit
    for row in predict_materials(load_predictor(found.model), {"test": materials}):
        before = logged[row.material_id]
        if abs(row.tc_pred - before) > TOLERANCE_KELVIN + RELATIVE_TOLERANCE * abs(before):
            raise RunFolderError(
                f"The model in {found.folder} predicted {with_unit(f'{before:.3f}')} for "
                f"{row.formula} where it was trained and predicts "
                f"{with_unit(f'{row.tc_pred:.3f}')} here: import it with the code that trained it "
                f"({found.spec.code_version})."
            )


def _log(found: FinishedRun) -> None:
    """Log what a training logs, in the same order."""
    logger, spec, splits = MLflowLogger(), found.spec, found.splits
    logger.log_spec(spec)
    logger.log_rejects(splits.dataset.rejects)
    logger.log_data(spec, splits)
    for path in sorted((found.folder / PLOTS).glob("*.png")):
        mlflow.log_artifact(str(path), PLOTS)
    for text in found.notes:
        logger.log_note(text)
    for record, ended in found.history:
        runs.log_epoch(record, at=ended)
    logger.log_training(found.minutes, found.size)
    held_out = [row for row in found.predictions if row.split == "val"]
    logger.log_model(
        spec, splits, lambda room: shutil.copytree(found.model, room, dirs_exist_ok=True), held_out
    )
    logger.log_evaluation(spec, splits, found.predictions, [record for record, _ in found.history])
    runs.log_file(found.folder / LOG)
    logger.finish(None)
