"""How a model is judged: on test once, beside the nulls, with intervals, tables and plots."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision.data.splits import families
from supervision.evaluation import metrics
from supervision.experiment.spec import DataSplits
from supervision.training.callbacks import EpochRecord
from tracking import plots, runs


def null_predictions(prepared: DataSplits) -> dict[str, Callable[[str], np.ndarray]]:
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


def log_evaluation(
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
    runs.log_metrics({k: v for k, v in logged.items() if np.isfinite(v)})
    bands = metrics.band_table(tc, tc_pred)
    runs.log_table(predictions, "predictions.csv")
    runs.log_table(bands, "bands.csv")
    runs.log_table(pd.DataFrame(rows), "comparison.csv")
    lines = {name: logged[f"null_{name.replace(' ', '_')}_val_mae"] for name in nulls}
    runs.log_figures(_figures(test, bands, history, lines, title))
    mlflow.set_tag("mlflow.note.content", note(logged, bands))
    print(f"Validation MAE {logged['val_mae_final']:.3f} K as the model is served.", flush=True)
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
