"""How a model is evaluated: on test materials once, with baselines, intervals, tables and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from supervision.answer.known import KnownMaterials
from supervision.data.composition_distance import fraction_matrix
from supervision.data.families import families
from supervision.data.quantity import TC, Quantity
from supervision.data.splits import groups_of
from supervision.evaluation import metrics
from supervision.evaluation.discovery import all_discovery_metrics
from supervision.evaluation.paired_difference import PairedDifference
from supervision.evaluation.prediction import Prediction
from supervision.evaluation.ranking import spearman
from supervision.experiment.baselines import baseline_predictions
from supervision.experiment.spec import DataSplits
from supervision.training.callbacks import EpochRecord
from tracking import plots, runs
from tracking.description import TEST_ERROR, describe_run
from tracking.serving.model_page import PARITY_FILE

CONSTANT, FAMILY_MEAN, NEAREST = "constant median", "family mean", "nearest composition"
BASELINES = (CONSTANT, FAMILY_MEAN, NEAREST)  # columns of the predictions
BANDS = "plots/error_by_band.png"
LOOK = {
    PARITY_FILE: "predicted against measured Tc",
    BANDS: "the error by Tc",
    "comparison.csv": "the baselines",
    "predictions.csv": "every prediction",
}
PROTOCOL = "Test materials were evaluated once, after training."
EPOCH_PROTOCOL = f"The epoch was chosen on validation materials. {PROTOCOL}"
METRICS = ("test_mae", "val_mae_final")


@dataclass(frozen=True)
class Evaluation:
    """The errors of a model.

    Attributes:
        metrics: what was logged, by name.
        bands: errors on the test materials by measured Tc.
        val_against_constant: MAE minus that of the constant median on the validation materials.
        test_against_constant: the same on the test materials.
        quantity: what the errors are of; only those of Tc have bands.
        has_epochs: whether the model was trained epoch by epoch.
    """

    metrics: Mapping[str, float]
    bands: pd.DataFrame
    val_against_constant: PairedDifference
    test_against_constant: PairedDifference
    quantity: Quantity = TC
    has_epochs: bool = False

    @property
    def protocol(self) -> str:
        """What validation and test materials were used for."""
        return EPOCH_PROTOCOL if self.has_epochs else PROTOCOL

    @property
    def look(self) -> dict[str, str]:
        """What to look at first."""
        if self.quantity.is_tc:
            return LOOK
        others = {path: shows for path, shows in LOOK.items() if path != BANDS}
        return others | {PARITY_FILE: f"predicted against known {self.quantity.symbol}"}


def predictions_table(predictions: Sequence[Prediction], splits: DataSplits) -> pd.DataFrame:
    """The predictions with what they are compared with and what is independent among them.

    One row per validation and test material: ``material_id, formula, split, tc, tc_pred``; the
    ``family`` of the material; the ``group`` that the split keeps together; one column for each of
    ``BASELINES``; the ``distance`` in composition to the nearest material that may be learned from,
    and the ``domain`` (``supervision.answer.domain``).
    """
    table = pd.DataFrame(predictions)
    family, group = families(splits.materials), groups_of(splits.materials, splits.split.kind)
    table = table.assign(
        family=table["material_id"].map(family), group=table["material_id"].map(group)
    )
    for part in ("val", "test"):
        ids = [m.id for m in splits.part(part)]
        rows = table["split"] == part
        known = KnownMaterials.of(
            splits.training() if part == "val" else splits.training_after_validation()
        )
        fractions = fraction_matrix([m.formula for m in splits.part(part)])
        columns = baseline_predictions(splits, part)
        columns |= {
            "distance": known.distance(fractions),
            "domain": np.array(known.domain_names(fractions)),
        }
        for name, values in columns.items():
            of_material = pd.Series(values, index=ids)
            table.loc[rows, name] = table.loc[rows, "material_id"].map(of_material)
    return table


def log_evaluation(
    predictions: pd.DataFrame,
    history: Sequence[EpochRecord],
    title: str,
    quantity: Quantity = TC,
    *,
    has_epochs: bool = False,
) -> Evaluation:
    """Log metrics, intervals, tables and plots.

    ``predictions`` come from ``predictions_table``. Of another quantity than Tc there are neither
    bands nor the metrics of discovery, apart from Spearman's rank correlation.
    """
    test = predictions[predictions["split"] == "test"]
    val = predictions[predictions["split"] == "val"]
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    bands = metrics.band_table(tc, tc_pred) if quantity.is_tc else pd.DataFrame()
    evaluation = Evaluation(
        _errors(test, val, quantity) | _baseline_errors(test, val), bands, _against_constant(val),
        _against_constant(test), quantity, has_epochs,
    )  # fmt: skip
    runs.log_metrics({k: v for k, v in evaluation.metrics.items() if np.isfinite(v)})
    runs.log_table(predictions, "predictions.csv")
    if quantity.is_tc:
        runs.log_table(bands, "bands.csv")
    runs.log_table(_comparison(test), "comparison.csv")
    lines = {name: evaluation.metrics[f"null_{_slug(name)}_val_mae"] for name in BASELINES}
    runs.log_figures(_figures(test, evaluation, history, lines, title))
    final = quantity.with_unit(f"{evaluation.metrics['val_mae_final']:.3f}")
    print(f"Validation MAE of the final model: {final}.")
    print(summary(evaluation), flush=True)
    return evaluation


def summary(evaluation: Evaluation) -> str:
    """The test errors in one sentence, and whether the model is shown to beat a constant."""
    logged, quantity = evaluation.metrics, evaluation.quantity
    error = quantity.error
    constant = f"the constant median's {error(logged['null_constant_median_test_mae'])}"
    low, high = (quantity.number(logged[f"test_mae_{end}"]) for end in ("low", "high"))
    return (
        f"{TEST_ERROR} {error(logged['test_mae'])} (95% {low} to {high}), "
        f"RMSE {error(logged['test_rmse'])}, R2 {logged['test_r2']:.3f}: "
        f"{evaluation.test_against_constant.describe(constant, quantity)}; "
        f"family mean {error(logged['null_family_mean_test_mae'])}."
    )


def describe_evaluation(
    evaluation: Evaluation, what: str, look: Mapping[str, str] | None = None, more: str = ""
) -> None:
    """Describe the active run by its errors; ``look`` and ``more`` come before what all have."""
    details = "\n\n".join(filter(None, (more, _band_table(evaluation), evaluation.protocol)))
    describe_run(
        what,
        summary(evaluation),
        {**(look or {}), **evaluation.look},
        metrics=METRICS,
        more=details,
    )


def errors_section(evaluation: Evaluation) -> str:
    """The errors as a model card has them."""
    parts = (summary(evaluation), _band_table(evaluation), evaluation.protocol)
    return "\n\n".join(filter(None, parts))


def _band_table(evaluation: Evaluation) -> str:
    """The test errors by measured Tc; empty for another quantity."""
    if not evaluation.quantity.is_tc:
        return ""
    lines = ["| Tc (K) | materials | MAE (K) | bias (K) |", "|---|---|---|---|"]
    for row in evaluation.bands[evaluation.bands["n"] > 0].to_dict("records"):
        lines.append(f"| {row['band']} | {row['n']} | {row['mae']:.2f} | {row['bias']:+.2f} |")
    return "\n".join(lines)


def _errors(test: pd.DataFrame, val: pd.DataFrame, quantity: Quantity) -> dict[str, float]:
    """Test metrics with intervals, and validation metrics of the final model."""
    tc, tc_pred = test["tc"].to_numpy(), test["tc_pred"].to_numpy()
    found = {f"test_{k}": v for k, v in metrics.all_metrics(tc, tc_pred).items()}
    intervals = metrics.bootstrap_intervals(tc, tc_pred, groups=test["group"].to_numpy())
    for name, (low, high) in intervals.items():
        found |= {f"test_{name}_low": low, f"test_{name}_high": high}
    found |= {f"test_{k}": v for k, v in metrics.spread(tc, tc_pred).items()}
    if quantity.is_tc:
        discovery = all_discovery_metrics(tc, tc_pred, test["family"].to_numpy())
    else:
        discovery = {"spearman": float(spearman(tc, tc_pred, np.ones((1, len(tc))))[0])}
    found |= {f"test_{k}": v for k, v in discovery.items()}
    val_metrics = metrics.all_metrics(val["tc"].to_numpy(), val["tc_pred"].to_numpy())
    return found | {f"val_{k}_final": v for k, v in val_metrics.items()}


def _baseline_errors(test: pd.DataFrame, val: pd.DataFrame) -> dict[str, float]:
    return {
        f"null_{_slug(name)}_{part}_mae": metrics.mae(
            table["tc"].to_numpy(), table[name].to_numpy()
        )
        for name in BASELINES
        for part, table in (("test", test), ("val", val))
    }


def _against_constant(table: pd.DataFrame) -> PairedDifference:
    paired = _paired(table, CONSTANT)
    return PairedDifference(paired["difference"], paired["low"], paired["high"], len(table))


def _comparison(test: pd.DataFrame) -> pd.DataFrame:
    """One row for the model and one per baseline, on the test materials."""
    rows = [_row("this model", test, "tc_pred")]
    for name in BASELINES:
        paired = {f"model_minus_null_{k}": v for k, v in _paired(test, name).items()}
        rows.append(_row(name, test, name) | paired)
    return pd.DataFrame(rows)


def _paired(table: pd.DataFrame, baseline: str) -> dict[str, float]:
    columns = (table[name].to_numpy() for name in ("tc", "tc_pred", baseline))
    return metrics.paired_bootstrap(*columns, groups=table["group"].to_numpy())


def _row(name: str, table: pd.DataFrame, column: str) -> dict[str, Any]:
    tc, tc_pred = table["tc"].to_numpy(), table[column].to_numpy()
    row: dict[str, Any] = {"predictor": name} | metrics.all_metrics(tc, tc_pred)
    intervals = metrics.bootstrap_intervals(tc, tc_pred, groups=table["group"].to_numpy())
    for metric, (low, high) in intervals.items():
        row |= {f"{metric}_low": low, f"{metric}_high": high}
    return row


def _figures(
    test: pd.DataFrame,
    evaluation: Evaluation,
    history: Sequence[EpochRecord],
    baselines: dict[str, float],
    title: str,
) -> dict[str, Figure]:
    quantity = evaluation.quantity
    figures = {
        "parity": plots.parity(test, title, quantity),
        "residuals": plots.residuals(test, title, quantity),
    }
    if quantity.is_tc:
        figures["error_by_band"] = plots.error_by_band(evaluation.bands, title)
    if len(history) > 1:
        figures["training_curve"] = plots.training_curve(history, baselines, title, quantity)
    return figures


def _slug(name: str) -> str:
    return name.replace(" ", "_")
