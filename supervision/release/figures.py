"""The figures of a released model, as tables: errors by split and class, intervals, probabilities.

The model card and results/answer.md show the same tables.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from supervision.answer.domain import DOMAINS
from supervision.data.material_classes import CLASSES
from supervision.data.splits import SPLIT_KINDS
from supervision.data.tc_bands import TC_BANDS, band_labels, band_name
from supervision.evaluation.bootstrap import Groups
from supervision.evaluation.coverage import brier, coverage
from supervision.evaluation.discovery import all_discovery_metrics, discovery_intervals
from supervision.evaluation.metrics import bootstrap_intervals, mae, r2
from supervision.release.out_of_fold import HeldOutAnswers, OutOfFold

FEWEST = 20  # materials of a row
CLASS_SPLITS = ("random", "novel")  # of which errors by class are shown


def error_table(predictions: OutOfFold) -> pd.DataFrame:
    """Errors and rank correlation by split, with 95% bootstrap intervals.

    Over materials on ``random``, over families elsewhere.
    """
    rows = []
    for split in predictions.splits:
        of = predictions.of([split])
        tc, tc_pred, family = of.tc, of.tc_pred, of.family.astype(str)
        errors = bootstrap_intervals(tc, tc_pred, groups=bootstrap_groups(of, split))
        ranking = all_discovery_metrics(tc, tc_pred, family)
        spread = discovery_intervals(tc, tc_pred, family)
        rows.append(
            {
                "split": f"`{split}`",
                "materials": f"{len(tc):,}",
                "MAE (K)": _between(mae(tc, tc_pred), errors["mae"]),
                "R2": _between(r2(tc, tc_pred), errors["r2"]),
                "Spearman": _between(ranking["spearman"], spread["spearman"]),
                "AP, 20 K": _between(ranking["ap_20"], spread["ap_20"]),
                "MAE of the constant (K)": f"{mae(tc, of.constant):.2f}",
            }
        )
    return pd.DataFrame(rows)


def class_table(predictions: OutOfFold) -> pd.DataFrame:
    """Mean absolute error and bias in kelvin by class of material; ``others`` are in none."""
    rows = []
    bits = [(1 << index, found.title) for index, found in enumerate(CLASSES.values())]
    for bit, title in [*bits, (0, "Others")]:
        row = {"class": title}
        for split in CLASS_SPLITS:
            of = predictions.of([split])
            chosen = of.rows(of.classes & bit > 0 if bit else of.classes == 0)
            if len(chosen.tc) < FEWEST:
                continue
            error = chosen.tc_pred - chosen.tc
            row["materials"] = f"{len(chosen.tc):,}"
            row["mean Tc (K)"] = f"{chosen.tc.mean():.1f}"
            row[f"`{split}`: MAE (K)"] = f"{np.abs(error).mean():.1f}"
            row[f"`{split}`: bias (K)"] = f"{error.mean():+.1f}"
        if len(row) > 1:
            rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def coverage_table(answers: HeldOutAnswers) -> pd.DataFrame:
    """Coverage and width of the 90% intervals: overall, by domain and by Tc, with 95% intervals."""
    rows = []
    for name, chosen in _subsets(answers.of):
        if chosen.sum() < FEWEST:
            continue
        of = answers.of.rows(chosen)
        found = coverage(of.tc, answers.interval[chosen], of.family)
        rows.append(
            {
                "materials": name,
                "predictions": f"{found.materials:,}",
                "coverage": f"{found.coverage:.1%} ({found.low:.1%} to {found.high:.1%})",
                "mean width (K)": f"{found.width:.1f}",
                "median width (K)": f"{found.median_width:.1f}",
            }
        )
    return pd.DataFrame(rows)


def probability_table(answers: HeldOutAnswers) -> pd.DataFrame:
    """How good the probabilities are; the last column is the score of the frequency itself."""
    rows = []
    for name, (happened, probability) in answers.events().items():
        rate = happened.mean()
        rows.append(
            {
                "event": name,
                "happened": f"{rate:.1%}",
                "mean probability": f"{probability.mean():.1%}",
                "Brier score": f"{brier(happened, probability):.4f}",
                "of the frequency": f"{rate * (1 - rate):.4f}",
            }
        )
    return pd.DataFrame(rows)


def _subsets(of: OutOfFold) -> Iterator[tuple[str, np.ndarray]]:
    """Names and masks ``[n]`` of what the coverage is shown for."""
    for split in of.splits:
        yield f"all of `{split}`", of.split == SPLIT_KINDS.index(split)
    for index, name in enumerate(DOMAINS):
        yield f"domain: {name}", of.domain == index
    for source, tc in (("predicted", of.tc_pred), ("measured", of.tc)):
        labels = band_labels(np.maximum(tc, 0))
        for low, high in TC_BANDS:
            band = band_name(low, high)
            yield f"{source} Tc: {band.replace('-', ' to ')} K", labels == band


def bootstrap_groups(of: OutOfFold, split: str) -> Groups | None:
    """What a bootstrap draws on a split: families; None for materials, on ``random``."""
    return None if split == "random" else of.family.astype(str)


def _between(value: float, bounds: tuple[float, float]) -> str:
    return f"{value:.2f} ({bounds[0]:.2f} to {bounds[1]:.2f})" if np.isfinite(value) else "–"
