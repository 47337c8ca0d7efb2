"""The road every training takes, whatever the paradigm: data, split, fit, judge, log, register."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from supervision.alone import Claims
from supervision.checkpoint import Checkpoints
from supervision.crystals import Material
from supervision.network import NetworkPredictor
from supervision.prediction import predict_materials
from supervision.predictor import MADE_FROM, Predictor
from supervision.resuming import open_checkpoints, own_folder
from supervision.training import EpochRecord
from supervision.weights import Fetched
from tracking import registry, runs
from tracking.experiment import (
    Experiment,
    Origin,
    Prepare,
    Prepared,
    log_inputs,
    split_materials,
    tags_of,
)
from tracking.judgement import log_judgement, null_predictions, summary

MODEL = "model_uri"  # a tag
FREE_ON_RESUME = ("device", "patience")  # what does not change what a model has learned so far


@dataclass(frozen=True)
class Pipeline:
    """What a paradigm brings to the common road."""

    name: str
    predictor: Predictor
    settings: Mapping[str, Any]
    prepare: Prepare
    pictures: Callable[[Sequence[Material]], Mapping[str, np.ndarray]]
    variant: str
    origin: Origin
    resumable: bool = True

    @classmethod
    def of_network(
        cls,
        predictor: NetworkPredictor,
        fetched: Fetched,
        prepare: Prepare,
        pictures: Callable[[Sequence[Material]], Mapping[str, np.ndarray]],
    ) -> "Pipeline":
        """That of a network that began from these weights."""
        return cls(
            name=predictor.pipeline,
            predictor=predictor,
            settings=predictor.settings(),
            prepare=prepare,
            pictures=pictures,
            variant=predictor.config.adapt,
            origin=Origin.of(fetched),
        )

    @property
    def model_name(self) -> str:
        """Under which the models of this paradigm are registered."""
        return f"supervision-{self.name}"


def train(pipeline: Pipeline, experiment: Experiment) -> None:
    """Train in the active run, judge once on test, log everything, register.

    Raises BusyError where another training is in the way.
    """
    with Claims(runs.run_id()) as claims:
        checkpoints: Checkpoints | None = None
        if pipeline.resumable:
            claims.machine(parallel=experiment.parallel)
        prepared, name = _begin(pipeline, experiment)
        if pipeline.resumable:
            checkpoints = _checkpoints(pipeline, experiment, prepared)
            claims.known_as(runs.run_id())
            claims.folder(checkpoints.folder)
        start = time.monotonic()
        history = pipeline.predictor.fit(
            prepared.part("train"),
            prepared.part("val"),
            on_epoch=runs.log_epoch,
            checkpoints=checkpoints,
        )
        runs.log_metrics({"train_minutes": _spent(history, time.monotonic() - start) / 60})
        runs.log_params(pipeline.predictor.size)
        _judge_and_register(pipeline, experiment, prepared, history, name)
        if checkpoints:
            _finish(checkpoints)
    print(f"Run {runs.run_id()}", flush=True)


def _begin(pipeline: Pipeline, experiment: Experiment) -> tuple[Prepared, str]:
    """Read, split and log what is trained on; returns it with the run's name."""
    origin = pipeline.origin
    tags = tags_of(experiment, origin, pipeline.name)
    runs.describe(asdict(experiment) | dict(pipeline.settings), tags)
    prepared = split_materials(experiment, pipeline.prepare)
    data = prepared.dataset.name
    name = " · ".join((pipeline.name, data, experiment.split, origin.weights, pipeline.variant))
    mlflow.set_tags({"mlflow.runName": name, "dataset": data})
    log_inputs(prepared, origin)
    for picture, rgb in pipeline.pictures(prepared.materials).items():
        runs.log_picture(rgb, f"plots/{picture}.png")
    return prepared, name


def _judge_and_register(
    pipeline: Pipeline,
    experiment: Experiment,
    prepared: Prepared,
    history: Sequence[EpochRecord],
    name: str,
) -> None:
    uri = runs.tag(MODEL) or log_model(pipeline, experiment, prepared)
    mlflow.set_tag(MODEL, uri)  # a process that goes on from here does not log it again
    predictions = pd.DataFrame(
        predict_materials(
            pipeline.predictor, {part: prepared.part(part) for part in ("val", "test")}
        )
    )
    judged = log_judgement(predictions, null_predictions(prepared), history, name)
    if experiment.register:
        register(pipeline, experiment, prepared, uri, judged)
    else:
        print("Not registered (register=false).", flush=True)


def identity_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a training cannot be carried on without."""
    free = set(FREE_ON_RESUME)
    if settings["schedule"] == "plateau":
        free.add("epochs")  # only a cosine depends on how many are to come
    return {name: str(value) for name, value in settings.items() if name not in free}


def _checkpoints(pipeline: Pipeline, experiment: Experiment, prepared: Prepared) -> Checkpoints:
    """Where this training's state goes; an unfinished one is carried on, under its own run."""
    identity = identity_of(pipeline.settings) | {
        "data set hash": prepared.dataset.hash,
        "split hash": prepared.split.hash,
        "weights": pipeline.origin.weights,
        "weights hash": pipeline.origin.hash,
    }
    checkpoints = open_checkpoints(
        identity,
        folder=experiment.checkpoint_dir,
        resume=experiment.resume,
        run=runs.run_id(),
        known=runs.is_unfinished,
    )
    if checkpoints.resume and runs.is_unfinished(checkpoints.run):
        print(f"Carrying on run {checkpoints.run}.", flush=True)
        runs.carry_on(checkpoints.run)
    elif checkpoints.resume:  # more epochs for one that has ended, in a run of their own
        mlflow.set_tag("resumes", checkpoints.run)
        checkpoints.run = runs.run_id()
    print(f"Checkpoints: {checkpoints.folder}", flush=True)
    mlflow.set_tag("checkpoints", str(checkpoints.folder))
    return checkpoints


def _finish(checkpoints: Checkpoints) -> None:
    """All is logged; checkpoints are deleted, unless the user chose where they are."""
    checkpoints.finish()
    if checkpoints.folder.parent == own_folder():
        shutil.rmtree(checkpoints.folder, ignore_errors=True)
        mlflow.delete_tag("checkpoints")


def _spent(history: Sequence[EpochRecord], here: float) -> float:
    """Seconds of a training: those spent here, or all its epochs' where it was carried on."""
    return max(here, sum(record.seconds for record in history))


def log_model(pipeline: Pipeline, experiment: Experiment, prepared: Prepared) -> str:
    """Log the trained predictor with what it was made from; returns its URI.

    Before anything is judged or drawn: no later fault may cost a trained model.
    """
    made_from = {
        "run_id": runs.run_id(),
        "code_version": runs.code_version(),
        "dataset": prepared.dataset.name,
        "dataset_hash": prepared.dataset.hash,
        "split": experiment.split,
        "split_hash": prepared.split.hash,
        "seed": experiment.seed,
        "limit": experiment.limit,
        "materials": [m.id for part in ("train", "val") for m in prepared.part(part)],
        "weights": pipeline.origin.weights,
        "weights_hash": pipeline.origin.hash,
    }
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "predictor"
        pipeline.predictor.save(folder)
        (folder / MADE_FROM).write_text(json.dumps(made_from, indent=1))
        example = prepared.part("test")[0].crystals[0].cif
        return registry.log_predictor(folder, pipeline.name, example, pipeline.origin.license)


def register(
    pipeline: Pipeline,
    experiment: Experiment,
    prepared: Prepared,
    uri: str,
    judged: Mapping[str, float],
) -> None:
    """Register the logged model under the champion rule, and say what moved or why not."""
    candidate = registry.Candidate(
        dataset=prepared.dataset.name,
        split=experiment.split,
        split_hash=prepared.split.hash,
        val_mae=judged["val_mae_final"],
        null_mae=judged["null_constant_median_val_mae"],
        limit=experiment.limit,
    )
    tags = {
        "weights": pipeline.origin.weights,
        "weights_license": pipeline.origin.license,
        "trained_by": runs.run_id(),
    }
    description = (
        f"{pipeline.name} on {prepared.dataset.name} ({len(prepared.materials)} materials), "
        f"{experiment.split} split, weights {pipeline.origin.weights} ({pipeline.origin.license}). "
        + summary(judged)
    )
    said = registry.register(uri, pipeline.model_name, candidate, tags, description)
    mlflow.log_text("\n".join(said), "registry.txt")
    print("\n".join(said), flush=True)
