"""Domain shift: how a model performs on materials of another kind than its training materials.

All functions take Tc in kelvin, one value per material, and element sets; ``summarise`` writes the
numbers as a paragraph.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from supervision.data.tc_bands import TC_BANDS
from supervision.evaluation.metrics import band_table, mae, paired_bootstrap, r2, spread

HIGH_TC_KELVIN = TC_BANDS[-1][0]
TC_THRESHOLDS_KELVIN = (20.0, 40.0)
# Variance ratios below which the predictions are called compressed or narrower.
COMPRESSED_VARIANCE_RATIO, NARROWER_VARIANCE_RATIO = 0.5, 0.9
QUANTILES = {"10%": 0.1, "median": 0.5, "90%": 0.9}

Elements = frozenset[str]


def distributions(sets: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Statistics of named sets of Tc, one row per set: n, quantiles, mean, std, fractions above."""
    rows = []
    for name, values in sets.items():
        row = {"Tc": name, "n": len(values), "min": float(np.min(values))}
        row |= {label: float(np.quantile(values, q)) for label, q in QUANTILES.items()}
        row |= {"max": float(np.max(values))}
        row |= {"mean": float(np.mean(values)), "std": float(np.std(values))}
        row |= {f"above {t:g} K": float((values > t).mean()) for t in TC_THRESHOLDS_KELVIN}
        rows.append(row)
    return pd.DataFrame(rows)


def domain_shift_metrics(tc: np.ndarray, tc_pred: np.ndarray) -> dict[str, float]:
    """Predictions compared with targets: moments, bias, fractions above thresholds, correlations.

    A ``variance_ratio`` below 1 means that the predictions are compressed. The correlations with
    the prefix ``hot_`` are over materials with Tc >= HIGH_TC_KELVIN. A correlation (Pearson or
    Spearman) is NaN for fewer than three materials and if either side is constant.
    """
    hot = tc >= HIGH_TC_KELVIN
    found = spread(tc, tc_pred) | {
        "pred_mean": float(tc_pred.mean()),
        "pred_std": float(tc_pred.std()),
        "true_mean": float(tc.mean()),
        "true_std": float(tc.std()),
        "bias": float((tc_pred - tc).mean()),
        "rank_correlation": _correlation(spearmanr, tc, tc_pred),
        "hot_correlation": _correlation(pearsonr, tc[hot], tc_pred[hot]),
        "hot_rank_correlation": _correlation(spearmanr, tc[hot], tc_pred[hot]),
    }
    for threshold in TC_THRESHOLDS_KELVIN:
        found[f"pred_above_{threshold:g}"] = float((tc_pred > threshold).mean())
        found[f"true_above_{threshold:g}"] = float((tc > threshold).mean())
    return found


def _correlation(measure: Callable[..., Any], one: np.ndarray, other: np.ndarray) -> float:
    if len(one) < 3 or not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(measure(one, other).statistic)


def overlap(
    test: Sequence[Elements], train: Sequence[Elements], tc: np.ndarray, tc_pred: np.ndarray
) -> dict[str, float]:
    """How much of the test materials' chemistry is in the training materials, and the MAE there.

    Args:
        test: element sets of the test materials.
        train: element sets of the training materials.
        tc, tc_pred: targets and predictions of the test materials in kelvin, [n].
    """
    train_elements = frozenset().union(*train)
    train_sets = set(train)
    known = np.array([elements <= train_elements for elements in test])
    same = np.array([elements in train_sets for elements in test])
    found = {
        "elements_learned": len(train_elements),
        "elements_of_test": len(frozenset().union(*test)),
        "share_of_known_elements": float(known.mean()),
        "share_of_known_element_sets": float(same.mean()),
    }
    groups = {"known_elements": known, "new_elements": ~known, "known_element_set": same}
    for name, group in groups.items():
        if group.any():
            found[f"mae_{name}"] = mae(tc[group], tc_pred[group])
    return found


def summarise(
    name: str,
    tc: np.ndarray,
    tc_pred: np.ndarray,
    constant: float,
    train_tc: np.ndarray | None,
    chemistry: dict[str, float],
) -> str:
    """The domain shift of a model as a paragraph of text.

    Args:
        name: the model's name.
        constant: the prediction in kelvin of the constant baseline.
        train_tc: Tc of the model's training materials, or None if unknown.
        chemistry: the result of ``overlap``, or empty.
    """
    found = domain_shift_metrics(tc, tc_pred)
    sentences = [
        _error_sentence(name, tc, tc_pred, constant),
        _range_sentence(found),
        _thresholds_sentence(found),
    ]
    if train_tc is None:
        sentences.append(
            "Its training materials are unknown; the test materials may be among them."
        )
    else:
        sentences.append(_training_sentence(train_tc, tc))
    sentences.append(_bands_sentence(tc, tc_pred))
    if not np.isnan(found["hot_correlation"]):
        sentences.append(
            f"For Tc of {HIGH_TC_KELVIN:g} K and above, predictions and targets correlate with "
            f"r = {found['hot_correlation']:+.2f}; over all materials the rank correlation is "
            f"{found['rank_correlation']:+.2f}."
        )
    if chemistry:
        sentences.append(_chemistry_sentence(chemistry))
    return " ".join(sentences)


def _error_sentence(name: str, tc: np.ndarray, tc_pred: np.ndarray, constant: float) -> str:
    baseline = np.full(len(tc), constant)
    paired = paired_bootstrap(tc, tc_pred, baseline)
    comparison = "not significantly different from"
    if paired["high"] < 0 or paired["low"] > 0:
        comparison = "better than" if paired["difference"] < 0 else "worse than"
    r_squared = f" (R2 {r2(tc, tc_pred):.2f})" if np.ptp(tc) else ""
    return (
        f"{name} has an MAE of {mae(tc, tc_pred):.2f} K on {len(tc)} materials{r_squared}, "
        f"{comparison} the {mae(tc, baseline):.2f} K of the constant {constant:.1f} K "
        f"(paired difference {paired['difference']:+.2f} K, {paired['low']:+.2f} to "
        f"{paired['high']:+.2f})."
    )


def _range_sentence(found: dict[str, float]) -> str:
    ratio = found["variance_ratio"]
    width = "as wide as the targets"
    if ratio < COMPRESSED_VARIANCE_RATIO:
        width = "compressed"
    elif ratio < NARROWER_VARIANCE_RATIO:
        width = "narrower than the targets"
    text = (
        f"Its predictions range from {found['pred_min']:.1f} to {found['pred_max']:.1f} K with a "
        f"mean of {found['pred_mean']:.1f} K; the mean of the targets is {found['true_mean']:.1f} K"
    )
    if np.isnan(ratio):
        return f"{text}."
    return f"{text}. The predictions are {width}: {ratio:.0%} of the targets' variance."


def _thresholds_sentence(found: dict[str, float]) -> str:
    parts = [
        f"{found[f'pred_above_{t:g}']:.1%} of the predictions and "
        f"{found[f'true_above_{t:g}']:.1%} of the targets are above {t:g} K"
        for t in TC_THRESHOLDS_KELVIN
    ]
    return _capitalise("; ".join(parts)) + "."


def _training_sentence(train_tc: np.ndarray, tc: np.ndarray) -> str:
    beyond = (tc > train_tc.max()).mean()
    return (
        f"It was trained on {len(train_tc)} materials with a mean Tc of {train_tc.mean():.1f} K "
        f"and a maximum of {train_tc.max():.1f} K; {beyond:.1%} of the test materials are above it."
    )


def _bands_sentence(tc: np.ndarray, tc_pred: np.ndarray) -> str:
    bands = band_table(tc, tc_pred).iloc[2:]  # without "all" and "Tc > 0"
    if not np.abs(tc - tc_pred).sum():
        return "It has no error."
    worst = max(bands[bands["n"] > 0].to_dict("records"), key=lambda band: band["share_of_error"])
    return (
        f"{worst['share_of_error']:.0%} of its error comes from the {worst['n']} materials "
        f"in the band {worst['band']} K, with a bias of {worst['bias']:+.1f} K."
    )


def _chemistry_sentence(found: dict[str, float]) -> str:
    parts = [
        f"{found['share_of_known_elements']:.0%} of the materials consist of elements in its "
        f"training set, {found['share_of_known_element_sets']:.0%} have an element set in it"
    ]
    errors = [
        f"{found[f'mae_{key}']:.2f} K {group}"
        for key, group in (
            ("known_element_set", "for the latter"),
            ("new_elements", "for materials with a new element"),
        )
        if f"mae_{key}" in found
    ]
    if errors:
        parts.append("the MAE is " + " and ".join(errors))
    return _capitalise("; ".join(parts)) + "."


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]
