"""A model that never saw a data set, on that data set's test materials, and why it fails or not."""

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
from supervision.data.splits import PARTS, akin, make_split
from supervision.evaluation import domain_shift as transfer
from supervision.evaluation import metrics
from supervision.evaluation.prediction import SupportsPredict, predict_materials
from supervision.experiment.run import RunSpec
from supervision.experiment.spec import DataSplits, Experiment, split_materials
from supervision.models.predictor import MADE_FROM, Predictor
from supervision.models.setup import Featurize, WeightsInfo
from supervision.runtime.version import code_version
from supervision.training.callbacks import Callbacks, EpochRecord
from tracking import plots, runs
from tracking.evaluation_report import log_evaluation, null_predictions
from tracking.inputs import log_inputs


@dataclass(frozen=True)
class SourceTraining:
    """What a source learned from, as far as that is known.

    Attributes:
        learned: the materials that it learned from; empty where they are not known.
        numbers: what is to be logged of it (how many materials were taken out, its errors at home).
    """

    learned: Sequence[Material] = ()
    history: Sequence[EpochRecord] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


TrainSource = Callable[[DataSplits], SourceTraining]


@dataclass(frozen=True)
class Source:
    """A model from elsewhere.

    Attributes:
        teach: given the data set that it will be tested on, says what the model learned from; a
            model that is not trained yet is trained there, without what is in that data set.
            Raises ValueError for a model that has seen it.
    """

    name: str
    reader: SupportsPredict
    settings: Mapping[str, Any]
    origin: WeightsInfo
    teach: TrainSource


def evaluate(source: Source, experiment: Experiment, featurize: Featurize) -> None:
    """TrainSource the source where it must be, judge it once on test, and say why it transfers or not."""
    settings, origin = source.settings, source.origin
    task = RunSpec("zero_shot", "", settings, origin, experiment, code_version())
    runs.describe(task.params(), task.tags() | {"source": source.name})
    prepared = split_materials(experiment, featurize, runs.log_rejects)
    data = prepared.dataset.name
    title = f"zero-shot · {source.name} · {data} · {experiment.split}"
    mlflow.set_tags({"mlflow.runName": title, "dataset": data})
    log_inputs(prepared, source.origin)
    lesson = source.teach(prepared)
    mlflow.log_metrics(dict(lesson.numbers))
    runs.log_params(source.reader.size)
    parts = {part: prepared.part(part) for part in ("val", "test")}
    predictions = pd.DataFrame(predict_materials(source.reader, parts))
    log_evaluation(predictions, null_predictions(prepared), (), title)
    log_transfer(predictions, prepared, lesson, source.name, title)
    print(f"Run {runs.run_id()}", flush=True)


def log_transfer(
    predictions: pd.DataFrame, prepared: DataSplits, lesson: SourceTraining, name: str, title: str
) -> None:
    """The diagnosis: tables, figures and a paragraph that becomes the run's description."""
    test = predictions[predictions["split"] == "test"]
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    learned = np.array([m.tc for m in lesson.learned]) if lesson.learned else None
    sets = {"measured": tc, "predicted": tc_pred}
    chemistry = {}
    if learned is not None:
        sets["learned from"] = learned
        elements = [frozenset(m.chemsys.split("-")) for m in prepared.part("test")]
        taught = [frozenset(m.chemsys.split("-")) for m in lesson.learned]
        chemistry = transfer.overlap(elements, taught, tc, tc_pred)
    numbers = transfer.transfer_metrics(tc, tc_pred) | chemistry
    mlflow.log_metrics({f"transfer_{k}": v for k, v in numbers.items() if np.isfinite(v)})
    constant = float(np.median([m.tc for m in prepared.part("train")]))
    said = transfer.story(name, tc, tc_pred, constant, learned, chemistry)
    said += _removed(lesson)
    tables = transfer.distributions(sets)
    bands = metrics.band_table(tc, tc_pred)
    runs.log_table(tables, "distributions.csv")
    mlflow.log_text(_markdown(said, tables, bands), "transfer.md")
    mlflow.set_tag("mlflow.note.content", _markdown(said, tables, bands))
    figures = {"distributions": plots.distributions(sets, title)}
    if lesson.history:
        figures["source_training_curve"] = plots.training_curve(
            lesson.history, {}, f"{name}: learning, on its own validation materials"
        )
    runs.log_figures(figures)
    print(said, flush=True)


def _removed(lesson: SourceTraining) -> str:
    """What was taken out of the lesson, or could not be; empty where that is not known."""
    numbers = {name: round(value) for name, value in lesson.numbers.items()}
    if "source_shared_kept" in numbers:
        return (
            f" {numbers['source_shared_kept']} of the test materials have the composition of one "
            "that it learned from: others trained it, so nothing could be taken out."
        )
    if "source_shared_removed" not in numbers:
        return ""
    return (
        f" Of the {numbers['source_materials']} materials that it could have learned from, "
        f"{numbers['source_shared_removed']} whose composition is in this data set and "
        f"{numbers['source_akin_removed']} akin to a test material were taken out; on materials "
        "of its own kind that it did not see either, it errs by "
        f"{lesson.numbers['source_test_mae']:.2f} K."
    )


def _markdown(said: str, distributions: pd.DataFrame, bands: pd.DataFrame) -> str:
    shown = distributions.copy()
    for column in shown.columns[2:]:
        form = "{:.1%}" if column.startswith("above") else "{:.1f}"
        shown[column] = shown[column].map(form.format)
    by_band = bands[bands["n"] > 0][["band", "n", "mae", "bias", "share_of_error"]].copy()
    for column, form in {"mae": "{:.2f}", "bias": "{:+.2f}", "share_of_error": "{:.0%}"}.items():
        by_band[column] = by_band[column].map(form.format)
    return "\n\n".join(
        [
            said,
            "Tc in kelvin:",
            shown.to_markdown(index=False, disable_numparse=True),
            by_band.to_markdown(index=False, disable_numparse=True),
        ]
    )


def taught_by(
    predictor: Predictor, dataset: str, data: str, featurize: Featurize, seed: int
) -> TrainSource:
    """How a fresh predictor is taught one data set and nothing else.

    What has the composition of any material of the tested data set is taken out; and what gives a
    test material away: by nearly its composition or, where the split keeps element sets apart, by
    its element set.
    """

    def teach(tested: DataSplits) -> SourceTraining:
        materials = usable(dataset, data, featurize)
        shared = {m.id for m in materials} & {m.id for m in tested.materials}
        apart = tested.split.kind != "random"
        akin_ids = set(akin(materials, tested.part("test"), chemsys=apart)) - shared
        kept = [m for m in materials if m.id not in shared | akin_ids]
        print(
            f"{dataset}: {len(materials)} materials; taken out are {len(shared)} whose "
            f"composition is in the data set that is tested on and {len(akin_ids)} akin to a "
            f"test material; {len(kept)} are left.",
            flush=True,
        )
        split = make_split(kept, "random", seed=seed)
        train, val, test = (split.select(kept, part) for part in PARTS)
        history = predictor.fit(train, val, listener=Callbacks(_log_epoch), checkpoints=None)
        at_home = pd.DataFrame(predict_materials(predictor, {"test": test}))
        tc, tc_pred = at_home["tc"].to_numpy(), at_home["tc_pred"].to_numpy()
        numbers = {
            "source_materials": len(materials),
            "source_shared_removed": len(shared),
            "source_akin_removed": len(akin_ids),
            "source_train": len(train),
            "source_test_mae": metrics.mae(tc, tc_pred),
            "source_test_r2": metrics.r2(tc, tc_pred),
            "train_minutes": sum(record.seconds for record in history) / 60,
        }
        _log_predictor(predictor, {"dataset": dataset, "materials": [m.id for m in kept]})
        return SourceTraining(train, history, numbers)

    return teach


def known_from(dataset: str, data: str, featurize: Featurize) -> TrainSource:
    """What a published model learned from, where that is a data set of ours and is at hand."""

    def teach(tested: DataSplits) -> SourceTraining:
        if tested.dataset.name == dataset:
            raise ValueError(f"The source was trained on {dataset} itself.")
        if not data:
            return SourceTraining()
        if not dataset:
            raise ValueError("What the source learned from is not known: leave source_data out.")
        materials = usable(dataset, data, featurize)
        shared = {m.id for m in materials} & {m.id for m in tested.part("test")}
        numbers = {"source_materials": len(materials), "source_shared_kept": len(shared)}
        return SourceTraining(materials, numbers=numbers)

    return teach


def not_trained_on(made_from: Mapping[str, Any], name: str) -> TrainSource:
    """Refuse a saved predictor that was made from the data that it is to be tested on.

    ``made_from`` is what was saved with it: the name of its data set, its hash, its materials.
    """

    def teach(tested: DataSplits) -> SourceTraining:
        same_name = made_from.get("dataset") == tested.dataset.name
        same_hash = made_from.get("dataset_hash") == tested.dataset.hash
        if same_name or same_hash:
            raise ValueError(f"source={name} was trained on {tested.dataset.name} itself.")
        seen = set(made_from.get("materials", ())) & {m.id for m in tested.part("test")}
        if seen:
            raise ValueError(f"source={name} was trained on {len(seen)} of the test materials.")
        return SourceTraining()

    return teach


def usable(dataset: str, data: str, featurize: Featurize) -> list[Material]:
    """The materials of a data set that have a graph."""
    found = load_dataset(dataset, data)
    kept = found.without(featurize(found.crystals))
    kept.check_loss()
    return group_materials(kept.crystals)


def _log_epoch(record: EpochRecord) -> None:
    """Of the lesson: kept apart from what is measured on the data set that is tested on."""
    named = {f"source_{name}": value for name, value in record.metrics().items()}
    mlflow.log_metrics(named, step=record.epoch)


def _log_predictor(predictor: Predictor, made_from: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "predictor"
        predictor.save(folder)
        (folder / MADE_FROM).write_text(json.dumps({"run_id": runs.run_id(), **made_from}))
        mlflow.log_artifacts(str(folder), "predictor")
