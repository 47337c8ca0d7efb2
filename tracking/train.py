"""The road every training takes, whatever the paradigm: data, split, fit, judge, log, register."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision import metrics
from supervision.crystals import Crystal, Material, Reject, group_materials, take
from supervision.datasets import Dataset, load_dataset
from supervision.network import NetworkPredictor
from supervision.paths import cache_dir
from supervision.prediction import predict_materials
from supervision.predictor import Predictor
from supervision.splits import KINDS as SPLITS
from supervision.splits import PARTS, Split, families, make_split
from supervision.training import Checkpoints, EpochRecord
from supervision.weights import Fetched
from tracking import plots, registry, runs

FREE_ON_RESUME = ("device", "patience")  # what does not change what a model has learned so far


@dataclass(frozen=True)
class Experiment:
    """On what a model is trained and judged, and what becomes of it."""

    dataset: str = "classics"
    data: str = ""
    split: str = "random"
    limit: int = 0
    seed: int = 42
    register: bool = True
    allow_loss: bool = False
    checkpoint_dir: str = ""
    resume: str = ""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split '{self.split}' is not one of {', '.join(SPLITS)}.")
        for name in ("limit", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if self.resume and self.checkpoint_dir not in ("", self.resume):
            raise ValueError(
                f"resume={self.resume} goes on in its own folder: leave checkpoint_dir out, "
                f"got {self.checkpoint_dir}."
            )


@dataclass(frozen=True)
class Pipeline:
    """What a paradigm brings to the common road."""

    name: str
    predictor: Predictor
    settings: Mapping[str, Any]
    prepare: Callable[[Sequence[Crystal]], Sequence[Reject]]
    pictures: Callable[[Sequence[Material]], Mapping[str, np.ndarray]]
    variant: str
    weights: str
    weights_source: str
    weights_choice: str
    weights_hash: str
    weights_license: str
    pretrained: bool
    resumable: bool = True

    @classmethod
    def of_network(
        cls,
        predictor: NetworkPredictor,
        fetched: Fetched,
        prepare: Callable[[Sequence[Crystal]], Sequence[Reject]],
        pictures: Callable[[Sequence[Material]], Mapping[str, np.ndarray]],
    ) -> "Pipeline":
        """That of a network that began from these weights."""
        noun, version = predictor.recipe
        return cls(
            name=predictor.pipeline,
            predictor=predictor,
            settings=asdict(predictor.config)
            | asdict(predictor.fit_config)
            | {"device": str(predictor.device), f"{noun}_version": version},
            prepare=prepare,
            pictures=pictures,
            variant=predictor.config.adapt,
            weights=fetched.name,
            weights_source=fetched.source,
            weights_choice=fetched.message,
            weights_hash=fetched.sha256,
            weights_license=fetched.license,
            pretrained=fetched.pretrained,
        )

    @property
    def model_name(self) -> str:
        """Under which the models of this paradigm are registered."""
        return f"supervision-{self.name}"


@dataclass(frozen=True)
class Prepared:
    """Materials that can be read, what could not, and the split."""

    dataset: Dataset
    materials: Sequence[Material]
    split: Split

    def part(self, name: str) -> list[Material]:
        """The materials of ``train``, ``val`` or ``test``."""
        return self.split.select(self.materials, name)


def train(pipeline: Pipeline, experiment: Experiment) -> None:
    """Train in the active run, judge once on test, log everything, register."""
    runs.describe(asdict(experiment) | dict(pipeline.settings), _tags(pipeline, experiment))
    prepared = split_materials(pipeline, experiment)
    data = prepared.dataset.name
    name = " · ".join((pipeline.name, data, experiment.split, pipeline.weights, pipeline.variant))
    mlflow.set_tags({"mlflow.runName": name, "dataset": data})
    log_inputs(prepared, pipeline)
    checkpoints = _checkpoints(pipeline, experiment, prepared) if pipeline.resumable else None
    start = time.monotonic()
    history = pipeline.predictor.fit(
        prepared.part("train"),
        prepared.part("val"),
        on_epoch=runs.log_epoch,
        checkpoints=checkpoints,
    )
    mlflow.log_metric("train_minutes", _spent(history, time.monotonic() - start) / 60)
    runs.log_params(pipeline.predictor.size)
    uri = log_model(pipeline, experiment, prepared)
    predictions = predict_materials(
        pipeline.predictor, {part: prepared.part(part) for part in ("val", "test")}
    )
    judged = log_judgement(predictions, null_predictions(prepared), history, name)
    if experiment.register:
        register(pipeline, experiment, prepared, uri, judged)
    else:
        print("Not registered (register=false).", flush=True)
    if checkpoints:
        _clear(checkpoints)
    print(f"Run {runs.run_id()}", flush=True)


def _tags(pipeline: Pipeline, experiment: Experiment) -> dict[str, str]:
    return {
        "dataset": experiment.dataset,
        "split": experiment.split,
        "weights": pipeline.weights,
        "weights_source": pipeline.weights_source,
        "weights_choice": pipeline.weights_choice,
        "weights_license": pipeline.weights_license,
        "pretrained": str(pipeline.pretrained).lower(),
        "pipeline": pipeline.name,
        "code_version": runs.code_version(),
    }


def load_materials(
    experiment: Experiment, prepare: Callable[[Sequence[Crystal]], Sequence[Reject]]
) -> tuple[Dataset, list[Material]]:
    """Load, limit, prepare and log what was rejected; DatasetError where that is too much.

    Without a limit the share lost is of all rows; with one, that of the table and that of the
    chosen materials are looked at each by itself.
    """
    whole = load_dataset(experiment.dataset, experiment.data)
    runs.log_rejects(whole.rejects)
    whole.check_loss(allow_loss=experiment.allow_loss)
    materials = take(group_materials(whole.crystals), experiment.limit, experiment.seed)
    known = () if experiment.limit else whole.rejects
    chosen = Dataset(whole.name, tuple(c for m in materials for c in m.crystals), known)
    usable = chosen.without(prepare(chosen.crystals))
    rejects = whole.rejects + usable.rejects[len(known) :]
    runs.log_rejects(rejects)
    usable.check_loss(allow_loss=experiment.allow_loss)
    return replace(usable, rejects=rejects), group_materials(usable.crystals)


def split_materials(pipeline: Pipeline, experiment: Experiment) -> Prepared:
    """The data set's usable materials, split as the experiment says."""
    dataset, materials = load_materials(experiment, pipeline.prepare)
    split = make_split(materials, experiment.split, seed=experiment.seed)
    print(
        f"{dataset.name}: {len(materials)} materials, {len(dataset.crystals)} structures, "
        f"{len(dataset.rejects)} rejected. Split {split.kind} by {split.grouped_by}: "
        + ", ".join(f"{part} {len(split.select(materials, part))}" for part in PARTS)
        + ".",
        flush=True,
    )
    return Prepared(dataset, materials, split)


def log_inputs(prepared: Prepared, pipeline: Pipeline) -> None:
    """Hashes, the split file and what the model sees."""
    runs.log_params(
        {
            "dataset_hash": prepared.dataset.hash,
            "split_hash": prepared.split.hash,
            "split_grouped_by": prepared.split.grouped_by,
            "weights_hash": pipeline.weights_hash,
            "materials": len(prepared.materials),
            "structures": len(prepared.dataset.crystals),
            "rejected": len(prepared.dataset.rejects),
        }
    )
    runs.log_dataset(prepared.materials, prepared.dataset.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.csv"
        prepared.split.save(path)
        mlflow.log_artifact(str(path))
    for name, picture in pipeline.pictures(prepared.materials).items():
        runs.log_picture(picture, f"plots/{name}.png")


def _checkpoints(pipeline: Pipeline, experiment: Experiment, prepared: Prepared) -> Checkpoints:
    """Where this run's checkpoints go, tied to configuration, data, split and weights."""
    identity = {k: str(v) for k, v in pipeline.settings.items() if k not in FREE_ON_RESUME}
    identity |= {
        "data set hash": prepared.dataset.hash,
        "split hash": prepared.split.hash,
        "weights": pipeline.weights,
        "weights hash": pipeline.weights_hash,
    }
    if experiment.resume:
        folder = Path(experiment.resume).expanduser()
        mlflow.set_tag("resumes", str(folder))
    elif experiment.checkpoint_dir:
        folder = Path(experiment.checkpoint_dir).expanduser()
    else:
        folder = _own_checkpoints() / runs.run_id()
    print(f"Checkpoints: {folder}", flush=True)
    mlflow.set_tag("checkpoints", str(folder))
    return Checkpoints(folder, identity, resume=bool(experiment.resume))


def _own_checkpoints() -> Path:
    """Below it are the folders of runs that named none."""
    return cache_dir() / "checkpoints"


def _clear(checkpoints: Checkpoints) -> None:
    """Delete a finished run's checkpoints, unless the user chose where they are."""
    if checkpoints.folder.parent == _own_checkpoints():
        shutil.rmtree(checkpoints.folder, ignore_errors=True)
        mlflow.delete_tag("checkpoints")


def _spent(history: Sequence[EpochRecord], here: float) -> float:
    """Seconds of a training: those spent here, or all its epochs' where it was carried on."""
    return max(here, sum(record.seconds for record in history))


def null_predictions(prepared: Prepared) -> dict[str, Callable[[str], np.ndarray]]:
    """The predictors every model is held to: part -> Tc of its materials in order."""
    train_part = prepared.part("train")
    train_tc = np.array([m.tc for m in train_part])
    family = families(prepared.materials)

    def constant(part: str) -> np.ndarray:
        return metrics.constant_median(train_tc, len(prepared.part(part)))

    def family_mean(part: str) -> np.ndarray:
        known = [family[m.id] for m in train_part]
        return metrics.family_mean(train_tc, known, [family[m.id] for m in prepared.part(part)])

    return {"constant median": constant, "family mean": family_mean}


def log_judgement(
    predictions: pd.DataFrame,
    nulls: Mapping[str, Callable[[str], np.ndarray]],
    history: Sequence[EpochRecord],
    title: str,
) -> dict[str, Any]:
    """Test metrics with intervals, nulls beside them, bands and plots; returns the key numbers."""
    test = predictions[predictions["split"] == "test"]
    val = predictions[predictions["split"] == "val"]
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    logged = {f"test_{k}": v for k, v in metrics.all_metrics(tc, tc_pred).items()}
    for name, (low, high) in metrics.bootstrap_intervals(tc, tc_pred).items():
        logged |= {f"test_{name}_low": low, f"test_{name}_high": high}
    logged |= {f"test_{k}": v for k, v in metrics.spread(tc, tc_pred).items()}
    val_tc = val["tc"].to_numpy()
    logged |= {
        f"val_{k}_final": v
        for k, v in metrics.all_metrics(val_tc, val["tc_pred"].to_numpy()).items()
    }
    rows = [_row("this model", tc, tc_pred)]
    for name, null in nulls.items():
        slug = name.replace(" ", "_")
        predicted = null("test")
        logged[f"null_{slug}_test_mae"] = metrics.mae(tc, predicted)
        logged[f"null_{slug}_val_mae"] = metrics.mae(val_tc, null("val"))
        paired = metrics.paired_bootstrap(tc, tc_pred, predicted)
        rows.append(
            _row(name, tc, predicted) | {f"model_minus_null_{k}": v for k, v in paired.items()}
        )
    mlflow.log_metrics({k: v for k, v in logged.items() if np.isfinite(v)})
    bands = metrics.band_table(tc, tc_pred)
    runs.log_table(predictions, "predictions.csv")
    runs.log_table(bands, "bands.csv")
    runs.log_table(pd.DataFrame(rows), "comparison.csv")
    lines = {name: logged[f"null_{name.replace(' ', '_')}_val_mae"] for name in nulls}
    runs.log_figures(_figures(test, bands, history, lines, title))
    mlflow.set_tag("mlflow.note.content", note(logged, bands))
    print(summary(logged), flush=True)
    return logged


def _row(name: str, tc: np.ndarray, tc_pred: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"predictor": name} | metrics.all_metrics(tc, tc_pred)
    for metric, (low, high) in metrics.bootstrap_intervals(tc, tc_pred).items():
        row |= {f"{metric}_low": low, f"{metric}_high": high}
    return row


def _figures(
    test: pd.DataFrame,
    bands: pd.DataFrame,
    history: Sequence[EpochRecord],
    nulls: dict[str, float],
    title: str,
) -> dict[str, Figure]:
    figures = {
        "parity": plots.parity(test, title),
        "residuals": plots.residuals(test, title),
        "error_by_band": plots.error_by_band(bands, title),
    }
    if len(history) > 1:
        figures["training_curve"] = plots.training_curve(history, nulls, title)
    return figures


def summary(logged: Mapping[str, float]) -> str:
    """The result in one sentence, and whether it beats a constant."""
    mae, null = logged["test_mae"], logged["null_constant_median_test_mae"]
    verdict = "better" if mae < null else "NOT better"
    return (
        f"Test MAE {mae:.2f} K (95% {logged['test_mae_low']:.2f} to "
        f"{logged['test_mae_high']:.2f}), RMSE {logged['test_rmse']:.2f} K, "
        f"R2 {logged['test_r2']:.3f}: {verdict} than the constant median's {null:.2f} K; "
        f"family mean {logged['null_family_mean_test_mae']:.2f} K."
    )


def note(logged: Mapping[str, float], bands: pd.DataFrame) -> str:
    """The run's description in the MLflow UI, as Markdown."""
    lines = [
        summary(logged),
        "",
        "| Tc (K) | materials | MAE (K) | bias (K) |",
        "|---|---|---|---|",
    ]
    for row in bands[bands["n"] > 0].to_dict("records"):
        lines.append(f"| {row['band']} | {row['n']} | {row['mae']:.2f} | {row['bias']:+.2f} |")
    lines += ["", "Validation chose the epoch; test was looked at once, after training."]
    return "\n".join(lines)


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
        "weights": pipeline.weights,
        "weights_hash": pipeline.weights_hash,
    }
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "predictor"
        pipeline.predictor.save(folder)
        (folder / "made_from.json").write_text(json.dumps(made_from, indent=1))
        example = prepared.part("test")[0].crystals[0].cif
        return registry.log_predictor(folder, pipeline.name, example, pipeline.weights_license)


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
    tags = {"weights": pipeline.weights, "weights_license": pipeline.weights_license}
    description = (
        f"{pipeline.name} on {prepared.dataset.name} ({len(prepared.materials)} materials), "
        f"{experiment.split} split, weights {pipeline.weights} ({pipeline.weights_license}). "
        + summary(judged)
    )
    said = registry.register(uri, pipeline.model_name, candidate, tags, description)
    mlflow.log_text("\n".join(said), "registry.txt")
    print("\n".join(said), flush=True)
