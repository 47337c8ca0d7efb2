"""Evaluates a model on a data set that it was not trained on, and diagnoses the domain shift."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from supervision.data.crystals import Material, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.leaks import is_near
from supervision.data.splits import PARTS, make_split
from supervision.evaluation import domain_shift, metrics
from supervision.evaluation.prediction import SupportsPredict, predict_materials
from supervision.experiment.run import RunSpec
from supervision.experiment.spec import DataSplits, Experiment, split_materials
from supervision.models.predictor import PROVENANCE_FILE, Predictor
from supervision.models.setup import Featurize, WeightsInfo
from supervision.runtime.version import code_version
from supervision.training.callbacks import Callbacks, EpochRecord
from tracking import plots, runs
from tracking.evaluation_report import describe_evaluation, log_evaluation, predictions_table
from tracking.inputs import log_inputs


@dataclass(frozen=True)
class SourceTraining:
    """What is known of the training of a source model.

    Attributes:
        materials: the training materials; empty if they are unknown.
        history: the epochs, if the model was trained here.
        metrics: numbers to log, for example how many materials were removed and the test MAE on
            the source's own data set.
    """

    materials: Sequence[Material] = ()
    history: Sequence[EpochRecord] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


GetTraining = Callable[[DataSplits], SourceTraining]


@dataclass(frozen=True)
class Source:
    """A model to evaluate on a data set that it was not trained on.

    Attributes:
        settings: the settings to log.
        weights: the weights that the model was made from.
        get_training: given the data set that the model is tested on, returns how the model was
            trained. An untrained model is trained by this call, without the materials of that data
            set. Raises ValueError if the model was trained on it.
    """

    name: str
    model: SupportsPredict
    settings: Mapping[str, Any]
    weights: WeightsInfo
    get_training: GetTraining


def evaluate(source: Source, experiment: Experiment, featurize: Featurize) -> None:
    """Train the source if necessary, evaluate it on the test materials, and log the diagnosis."""
    spec = RunSpec("zero_shot", "", source.settings, source.weights, experiment, code_version())
    runs.log_settings(spec.params(), spec.tags() | {"source": source.name})
    splits = split_materials(experiment, featurize, runs.log_rejects)
    dataset = splits.dataset.name
    title = f"zero-shot · {source.name} · {dataset} · {experiment.split}"
    mlflow.set_tags({"mlflow.runName": title, "dataset": dataset})
    log_inputs(splits, source.weights)
    training = source.get_training(splits)
    mlflow.log_metrics(dict(training.metrics))
    runs.log_params(source.model.size)
    parts = {part: splits.part(part) for part in ("val", "test")}
    predictions = predictions_table(predict_materials(source.model, parts), splits)
    evaluated = log_evaluation(predictions, (), title)
    shift = log_domain_shift(predictions, splits, training, source.name, title)
    what = f"{source.name}, tested on {dataset}, on which it was not trained."
    look = {"transfer.md": "the domain shift", "plots/distributions.png": "the distributions of Tc"}
    describe_evaluation(evaluated, what, look, shift)
    print(f"Run {runs.run_id()}", flush=True)


def log_domain_shift(
    predictions: pd.DataFrame, splits: DataSplits, training: SourceTraining, name: str, title: str
) -> str:
    """Log the diagnosis as tables and figures; returns it as Markdown."""
    test = predictions[predictions["split"] == "test"]
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    source_tc = np.array([m.tc for m in training.materials]) if training.materials else None
    sets = {"measured": tc, "predicted": tc_pred}
    chemistry = {}
    if source_tc is not None:
        sets["learned from"] = source_tc
        elements = [frozenset(m.chemsys.split("-")) for m in splits.part("test")]
        source_elements = [frozenset(m.chemsys.split("-")) for m in training.materials]
        chemistry = domain_shift.overlap(elements, source_elements, tc, tc_pred)
    numbers = domain_shift.domain_shift_metrics(tc, tc_pred) | chemistry
    mlflow.log_metrics({f"transfer_{k}": v for k, v in numbers.items() if np.isfinite(v)})
    constant = float(np.median([m.tc for m in splits.part("train")]))
    text = domain_shift.summarise(name, tc, tc_pred, constant, source_tc, chemistry)
    text += _overlap_sentence(training)
    table = domain_shift.distributions(sets)
    bands = metrics.band_table(tc, tc_pred)
    runs.log_table(table, "distributions.csv")
    markdown = _markdown(text, table, bands)
    mlflow.log_text(markdown, "transfer.md")
    figures = {"distributions": plots.distributions(sets, title)}
    if training.history:
        figures["source_training_curve"] = plots.training_curve(
            training.history, {}, f"{name}: training, with its own validation materials"
        )
    runs.log_figures(figures)
    print(text, flush=True)
    return markdown


def _overlap_sentence(training: SourceTraining) -> str:
    """How many training materials were removed or shared; empty if that is unknown."""
    counts = {name: round(value) for name, value in training.metrics.items()}
    if "source_shared_kept" in counts:
        return (
            f" {counts['source_shared_kept']} of the test materials have the composition of a "
            "training material of the source. They could not be removed, because the source was "
            "published already trained."
        )
    if "source_shared_removed" not in counts:
        return ""
    return (
        f" Of {counts['source_materials']} materials of the source's data set, "
        f"{counts['source_shared_removed']} whose composition is in this data set and "
        f"{counts['source_akin_removed']} near-duplicates of a test material were removed before "
        "the training. On test materials of its own data set the source has an MAE of "
        f"{training.metrics['source_test_mae']:.2f} K."
    )


def _markdown(text: str, distributions: pd.DataFrame, bands: pd.DataFrame) -> str:
    shown = distributions.copy()
    for column in shown.columns[2:]:
        form = "{:.1%}" if column.startswith("above") else "{:.1f}"
        shown[column] = shown[column].map(form.format)
    by_band = bands[bands["n"] > 0][["band", "n", "mae", "bias", "share_of_error"]].copy()
    for column, form in {"mae": "{:.2f}", "bias": "{:+.2f}", "share_of_error": "{:.0%}"}.items():
        by_band[column] = by_band[column].map(form.format)
    return "\n\n".join(
        [
            text,
            "Tc in kelvin:",
            shown.to_markdown(index=False, disable_numparse=True),
            by_band.to_markdown(index=False, disable_numparse=True),
        ]
    )


def train_source(
    predictor: Predictor, dataset: str, data: str, featurize: Featurize, seed: int
) -> GetTraining:
    """Train an untrained predictor on one data set, without what could leak the tested one.

    Removed are materials whose composition is in the tested data set, and near-duplicates of a
    test material: of nearly its composition or, if the split keeps element sets apart, of its
    element set.
    """

    def train(tested: DataSplits) -> SourceTraining:
        materials = load_graph_materials(dataset, data, featurize)
        shared = {m.id for m in materials} & {m.id for m in tested.materials}
        fresh = [m for m in materials if m.id not in shared]
        near = is_near(fresh, tested.part("test"), tested.split)
        kept = [m for m, leaks in zip(fresh, near, strict=True) if not leaks]
        print(
            f"{dataset}: {len(materials)} materials. Removed: {len(shared)} whose composition is "
            f"in the tested data set and {near.sum()} near-duplicates of a test material; "
            f"{len(kept)} remain.",
            flush=True,
        )
        split = make_split(kept, "random", seed=seed)
        train, val, test = (split.select(kept, part) for part in PARTS)
        history = predictor.fit(train, val, callbacks=Callbacks(_log_epoch), checkpoints=None)
        predictions = pd.DataFrame(predict_materials(predictor, {"test": test}))
        tc, tc_pred = predictions["tc"].to_numpy(), predictions["tc_pred"].to_numpy()
        numbers = {
            "source_materials": len(materials),
            "source_shared_removed": len(shared),
            "source_akin_removed": int(near.sum()),
            "source_train": len(train),
            "source_test_mae": metrics.mae(tc, tc_pred),
            "source_test_r2": metrics.r2(tc, tc_pred),
            "train_minutes": sum(record.seconds for record in history) / 60,
        }
        _log_predictor(predictor, {"dataset": dataset, "materials": [m.id for m in kept]})
        return SourceTraining(train, history, numbers)

    return train


def published_training(dataset: str, data: str, featurize: Featurize) -> GetTraining:
    """The training materials of a published model, if a local copy of its data set is given.

    Args:
        dataset: the data set that the model was trained on; empty if it is unknown.
        data: a local copy of that data set; empty for none.
    """

    def get_training(tested: DataSplits) -> SourceTraining:
        if tested.dataset.name == dataset:
            raise ValueError(f"The source was trained on the tested data set {dataset}.")
        if not data:
            return SourceTraining()
        if not dataset:
            raise ValueError("The training data of the source are unknown: omit source_data.")
        materials = load_graph_materials(dataset, data, featurize)
        shared = {m.id for m in materials} & {m.id for m in tested.part("test")}
        counts = {"source_materials": len(materials), "source_shared_kept": len(shared)}
        return SourceTraining(materials, metrics=counts)

    return get_training


def require_unseen(provenance: Mapping[str, Any], name: str) -> GetTraining:
    """Refuse a saved predictor that was trained on the tested data set.

    ``provenance`` is saved with a predictor: the name and hash of its data set, or the ids of its
    materials.
    """

    def get_training(tested: DataSplits) -> SourceTraining:
        same_name = provenance.get("dataset") == tested.dataset.name
        same_hash = provenance.get("dataset_hash") == tested.dataset.hash
        if same_name or same_hash:
            raise ValueError(
                f"source={name} was trained on the tested data set {tested.dataset.name}."
            )
        seen = set(provenance.get("materials", ())) & {m.id for m in tested.part("test")}
        if seen:
            raise ValueError(f"source={name} was trained on {len(seen)} of the test materials.")
        return SourceTraining()

    return get_training


def load_graph_materials(dataset: str, data: str, featurize: Featurize) -> list[Material]:
    """The materials of a data set that have a graph."""
    loaded = load_dataset(dataset, data)
    kept = loaded.without(featurize(loaded.crystals))
    kept.check_loss()
    return group_materials(kept.crystals)


def _log_epoch(record: EpochRecord) -> None:
    """Log an epoch of the source's training apart from the metrics of the tested data set."""
    named = {f"source_{name}": value for name, value in record.metrics().items()}
    mlflow.log_metrics(named, step=record.epoch)


def _log_predictor(predictor: Predictor, provenance: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "predictor"
        predictor.save(folder)
        (folder / PROVENANCE_FILE).write_text(json.dumps({"run_id": runs.run_id(), **provenance}))
        mlflow.log_artifacts(str(folder), "predictor")
