"""How a model is evaluated: on test materials once, with baselines, intervals, tables and plots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision.data.splits import families
from supervision.evaluation import metrics
from supervision.evaluation.paired_difference import PairedDifference
from supervision.experiment.spec import DataSplits
from supervision.training.callbacks import EpochRecord
from tracking import plots, runs

CONSTANT, FAMILY_MEAN = "constant median", "family mean"
Baseline = Callable[[str], np.ndarray]  # name of a part -> Tc of its materials in order


@dataclass(frozen=True)
class Evaluation:
    """The errors of a model.

    Attributes:
        metrics: what was logged, by name.
        val_against_constant: MAE minus that of the constant median on the validation materials.
        test_against_constant: the same on the test materials.
    """

    metrics: Mapping[str, float]
    val_against_constant: PairedDifference
    test_against_constant: PairedDifference


def log_evaluation(
    predictions: pd.DataFrame,
    baselines: Mapping[str, Baseline],
    history: Sequence[EpochRecord],
    title: str,
) -> Evaluation:
    """Log metrics, intervals, tables, plots and the run's description.

    ``predictions`` has the columns ``material_id, formula, split, tc, tc_pred``, one row per
    material of ``val`` and ``test``; ``baselines`` come from ``trivial_baselines``.
    """
    test = predictions[predictions["split"] == "test"]
    val = predictions[predictions["split"] == "val"]
    evaluation = Evaluation(
        _errors(test, val) | _baseline_errors(test, val, baselines),
        _against(baselines[CONSTANT], val, "val"),
        _against(baselines[CONSTANT], test, "test"),
    )
    runs.log_metrics({k: v for k, v in evaluation.metrics.items() if np.isfinite(v)})
    bands = metrics.band_table(test["tc"].to_numpy(), test["tc_pred"].to_numpy())
    runs.log_table(predictions, "predictions.csv")
    runs.log_table(bands, "bands.csv")
    runs.log_table(_comparison(test, baselines), "comparison.csv")
    lines = {name: evaluation.metrics[f"null_{_slug(name)}_val_mae"] for name in baselines}
    runs.log_figures(_figures(test, bands, history, lines, title))
    mlflow.set_tag("mlflow.note.content", note(evaluation, bands))
    print(f"Validation MAE of the final model: {evaluation.metrics['val_mae_final']:.3f} K.")
    print(summary(evaluation), flush=True)
    return evaluation


def trivial_baselines(splits: DataSplits) -> dict[str, Baseline]:
    """The predictors that every model is compared with, by name."""
    train_part = splits.part("train")
    train_tc = np.array([m.tc for m in train_part])
    family = families(splits.materials)

    def constant(part: str) -> np.ndarray:
        return metrics.constant_median(train_tc, len(splits.part(part)))

    def family_mean(part: str) -> np.ndarray:
        known = [family[m.id] for m in train_part]
        return metrics.family_mean(train_tc, known, [family[m.id] for m in splits.part(part)])

    return {CONSTANT: constant, FAMILY_MEAN: family_mean}


def summary(evaluation: Evaluation) -> str:
    """The test errors in one sentence, and whether the model is shown to beat a constant."""
    logged = evaluation.metrics
    constant = f"the constant median's {logged['null_constant_median_test_mae']:.2f} K"
    return (
        f"Test MAE {logged['test_mae']:.2f} K (95% {logged['test_mae_low']:.2f} to "
        f"{logged['test_mae_high']:.2f}), RMSE {logged['test_rmse']:.2f} K, "
        f"R2 {logged['test_r2']:.3f}: {evaluation.test_against_constant.describe(constant)}; "
        f"family mean {logged['null_family_mean_test_mae']:.2f} K."
    )


def note(evaluation: Evaluation, bands: pd.DataFrame) -> str:
    """The run's description in the MLflow UI, as Markdown."""
    lines = [
        summary(evaluation),
        "",
        "| Tc (K) | materials | MAE (K) | bias (K) |",
        "|---|---|---|---|",
    ]
    for row in bands[bands["n"] > 0].to_dict("records"):
        lines.append(f"| {row['band']} | {row['n']} | {row['mae']:.2f} | {row['bias']:+.2f} |")
    lines += [
        "",
        "The epoch was chosen on validation materials; test materials were evaluated once, after "
        "training.",
    ]
    return "\n".join(lines)


def _errors(test: pd.DataFrame, val: pd.DataFrame) -> dict[str, float]:
    """Test metrics with intervals, and validation metrics of the final model."""
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    found = {f"test_{k}": v for k, v in metrics.all_metrics(tc, tc_pred).items()}
    for name, (low, high) in metrics.bootstrap_intervals(tc, tc_pred).items():
        found |= {f"test_{name}_low": low, f"test_{name}_high": high}
    found |= {f"test_{k}": v for k, v in metrics.spread(tc, tc_pred).items()}
    val_metrics = metrics.all_metrics(val["tc"].to_numpy(), val["tc_pred"].to_numpy())
    return found | {f"val_{k}_final": v for k, v in val_metrics.items()}


def _baseline_errors(
    test: pd.DataFrame, val: pd.DataFrame, baselines: Mapping[str, Baseline]
) -> dict[str, float]:
    found = {}
    for name, predict in baselines.items():
        for part, table in (("test", test), ("val", val)):
            error = metrics.mae(table["tc"].to_numpy(), predict(part))
            found[f"null_{_slug(name)}_{part}_mae"] = error
    return found


def _against(baseline: Baseline, table: pd.DataFrame, part: str) -> PairedDifference:
    tc, tc_pred = table["tc"].to_numpy(), table["tc_pred"].to_numpy()
    paired = metrics.paired_bootstrap(tc, tc_pred, baseline(part))
    return PairedDifference(paired["difference"], paired["low"], paired["high"], len(tc))


def _comparison(test: pd.DataFrame, baselines: Mapping[str, Baseline]) -> pd.DataFrame:
    """One row for the model and one per baseline, on the test materials."""
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    rows = [_row("this model", tc, tc_pred)]
    for name, predict in baselines.items():
        baseline = predict("test")
        paired = metrics.paired_bootstrap(tc, tc_pred, baseline)
        rows.append(
            _row(name, tc, baseline) | {f"model_minus_null_{k}": v for k, v in paired.items()}
        )
    return pd.DataFrame(rows)


def _row(name: str, tc: np.ndarray, tc_pred: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"predictor": name} | metrics.all_metrics(tc, tc_pred)
    for metric, (low, high) in metrics.bootstrap_intervals(tc, tc_pred).items():
        row |= {f"{metric}_low": low, f"{metric}_high": high}
    return row


def _figures(
    test: pd.DataFrame,
    bands: pd.DataFrame,
    history: Sequence[EpochRecord],
    baselines: dict[str, float],
    title: str,
) -> dict[str, Figure]:
    figures = {
        "parity": plots.parity(test, title),
        "residuals": plots.residuals(test, title),
        "error_by_band": plots.error_by_band(bands, title),
    }
    if len(history) > 1:
        figures["training_curve"] = plots.training_curve(history, baselines, title)
    return figures


def _slug(name: str) -> str:
    return name.replace(" ", "_")
