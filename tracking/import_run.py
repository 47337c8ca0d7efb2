"""A training that ran elsewhere, brought into MLflow as if it had run here."""

import shutil
from pathlib import Path

import mlflow

from supervision.evaluation.prediction import predict_materials
from supervision.experiment.finished import FinishedRun
from supervision.experiment.run_folder import LOG, PLOTS, RunFolderError
from supervision.models.predictor import load_predictor
from tracking import runs
from tracking.train import MLflowLogger

CHECKED = 3  # materials
CLOSE, SHARE = 0.05, 0.02  # kelvin, and of Tc: what bfloat16 and other processors may change
SOURCE = "imported_from"  # a tag: sha256 over all that the folder holds


def import_folder(folder: Path) -> None:
    """Log, judge and register what a training left in a folder.

    Raises RunFolderError for one that is unfinished, damaged, or here already.
    """
    found = FinishedRun.read(folder)
    _refuse_known(found)
    _refuse_changed(found)
    data = found.prepared.dataset.name
    with runs.tracked_run(found.task.title(data), began=found.began, ended=found.ended):
        mlflow.set_tag(SOURCE, found.id)
        _log(found)


def _refuse_known(found: FinishedRun) -> None:
    known = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.{SOURCE} = '{found.id}' and attributes.status = 'FINISHED'",
        output_format="list",
    )
    if known:
        raise RunFolderError(f"{found.folder} is here already: run {known[0].info.run_id}.")


def _refuse_changed(found: FinishedRun) -> None:
    """The model is logged with the code that is here: that must give the numbers it gave there."""
    materials = found.prepared.part("test")[:CHECKED]
    there = {row.material_id: row.tc_pred for row in found.predictions}
    for row in predict_materials(load_predictor(found.model), {"test": materials}):
        before = there[row.material_id]
        if abs(row.tc_pred - before) > CLOSE + SHARE * abs(before):
            raise RunFolderError(
                f"The model in {found.folder} said {before:.3f} K of "
                f"{row.formula} where it was trained and says {row.tc_pred:.3f} K here: bring it "
                f"in with the code that trained it ({found.task.code_version})."
            )


def _log(found: FinishedRun) -> None:
    """What a training tells its logbook, in the same order."""
    book, task, prepared = MLflowLogger(), found.task, found.prepared
    book.describe(task)
    book.rejects(prepared.dataset.rejects)
    book.inputs(task, prepared)
    for path in sorted((found.folder / PLOTS).glob("*.png")):
        mlflow.log_artifact(str(path), PLOTS)
    for text in found.notes:
        book.note(text)
    for record, ended in found.history:
        runs.log_epoch(record, at=ended)
    book.trained(found.minutes, found.size)
    book.model(task, prepared, lambda room: shutil.copytree(found.model, room, dirs_exist_ok=True))
    book.judge(task, prepared, found.predictions, [record for record, _ in found.history])
    runs.log_file(found.folder / LOG)
    book.finish(None)
