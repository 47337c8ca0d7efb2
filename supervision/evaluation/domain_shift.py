"""Why a model fails, or not, on materials of another kind than those it learned from.

Pure functions of Tc in kelvin, one value a material, and of element sets; ``story`` puts them into
words. Nothing in the words is fixed but the grammar.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from supervision.data.tc_bands import TC_BANDS
from supervision.evaluation.metrics import band_table, mae, paired_bootstrap, r2, spread

HOT = TC_BANDS[-1][0]
ABOVE = (20.0, 40.0)
SHRUNK, NARROW = 0.5, 0.9  # variance ratios below which predictions are called so
QUANTILES = {"10%": 0.1, "median": 0.5, "90%": 0.9}

Elements = frozenset[str]


def distributions(sets: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Named sets of Tc side by side: n, least, quantiles, mean, deviation, most, share above."""
    rows = []
    for name, values in sets.items():
        row = {"Tc": name, "n": len(values), "min": float(np.min(values))}
        row |= {label: float(np.quantile(values, q)) for label, q in QUANTILES.items()}
        row |= {"max": float(np.max(values))}
        row |= {"mean": float(np.mean(values)), "std": float(np.std(values))}
        row |= {f"above {t:g} K": float((values > t).mean()) for t in ABOVE}
        rows.append(row)
    return pd.DataFrame(rows)


def transfer_metrics(tc: np.ndarray, tc_pred: np.ndarray) -> dict[str, float]:
    """How the predictions lie to the parse_bool: moments, bias, tails, correlations.

    ``variance_ratio`` below 1 is compression. Correlations (Pearson's r and Spearman's rank) are
    NaN where one side does not vary.
    """
    hot = tc >= HOT
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
    for threshold in ABOVE:
        found[f"pred_above_{threshold:g}"] = float((tc_pred > threshold).mean())
        found[f"true_above_{threshold:g}"] = float((tc > threshold).mean())
    return found


def _correlation(measure: Callable[..., Any], one: np.ndarray, other: np.ndarray) -> float:
    if len(one) < 3 or not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(measure(one, other).statistic)


def overlap(
    test: Sequence[Elements], learned: Sequence[Elements], tc: np.ndarray, tc_pred: np.ndarray
) -> dict[str, float]:
    """How far the chemistry of the test materials was there to be learned, and the MAE where."""
    elements = frozenset().union(*learned)
    sets = set(learned)
    known = np.array([chemistry <= elements for chemistry in test])
    same = np.array([chemistry in sets for chemistry in test])
    found = {
        "elements_learned": len(elements),
        "elements_of_test": len(frozenset().union(*test)),
        "share_of_known_elements": float(known.mean()),
        "share_of_known_element_sets": float(same.mean()),
    }
    groups = {"known_elements": known, "new_elements": ~known, "known_element_set": same}
    for name, group in groups.items():
        if group.any():
            found[f"mae_{name}"] = mae(tc[group], tc_pred[group])
    return found


def story(
    name: str,
    tc: np.ndarray,
    tc_pred: np.ndarray,
    constant: float,
    learned: np.ndarray | None,
    chemistry: dict[str, float],
) -> str:
    """The numbers in a paragraph.

    Args:
        constant: what every material is given by the null that is to be beaten, K.
        learned: Tc of what the model learned from, where that is known.
        chemistry: what ``overlap`` says, or empty.
    """
    found = transfer_metrics(tc, tc_pred)
    sentences = [_verdict(name, tc, tc_pred, constant), _spread(found), _tails(found)]
    if learned is None:
        sentences.append("What it learned from is not known, nor whether these were among it.")
    else:
        sentences.append(_learned(learned, tc))
    sentences.append(_where(tc, tc_pred))
    if not np.isnan(found["hot_correlation"]):
        sentences.append(
            f"Within {HOT:g} K and above, predictions and parse_bool correlate with "
            f"r = {found['hot_correlation']:+.2f}; over all materials the rank correlation is "
            f"{found['rank_correlation']:+.2f}."
        )
    if chemistry:
        sentences.append(_chemistry(chemistry))
    return " ".join(sentences)


def _verdict(name: str, tc: np.ndarray, tc_pred: np.ndarray, constant: float) -> str:
    guess = np.full(len(tc), constant)
    paired = paired_bootstrap(tc, tc_pred, guess)
    than = "not to be told from"
    if paired["high"] < 0 or paired["low"] > 0:
        than = "better than" if paired["difference"] < 0 else "worse than"
    explained = f" (R2 {r2(tc, tc_pred):.2f})" if np.ptp(tc) else ""
    return (
        f"{name} errs by {mae(tc, tc_pred):.2f} K on {len(tc)} materials"
        f"{explained}, {than} the {mae(tc, guess):.2f} K of saying {constant:.1f} K "
        f"each time (paired difference {paired['difference']:+.2f} K, {paired['low']:+.2f} to "
        f"{paired['high']:+.2f})."
    )


def _spread(found: dict[str, float]) -> str:
    ratio = found["variance_ratio"]
    what = "compressed" if ratio < SHRUNK else "narrower" if ratio < NARROW else "as wide"
    said = (
        f"What it says runs from {found['pred_min']:.1f} to {found['pred_max']:.1f} K, mean "
        f"{found['pred_mean']:.1f} K against {found['true_mean']:.1f} K"
    )
    if np.isnan(ratio):
        return f"{said}."
    return f"{said}, and is {what}: {ratio:.0%} of the parse_bool's variance."


def _tails(found: dict[str, float]) -> str:
    parts = [
        f"above {t:g} K it puts {found[f'pred_above_{t:g}']:.1%} of the materials, "
        f"where {found[f'true_above_{t:g}']:.1%} are"
        for t in ABOVE
    ]
    return _capital("; ".join(parts)) + "."


def _learned(learned: np.ndarray, tc: np.ndarray) -> str:
    beyond = (tc > learned.max()).mean()
    return (
        f"It learned from {len(learned)} materials with a mean of {learned.mean():.1f} K and at "
        f"most {learned.max():.1f} K; {beyond:.1%} of these lie above anything it has seen."
    )


def _where(tc: np.ndarray, tc_pred: np.ndarray) -> str:
    bands = band_table(tc, tc_pred).iloc[2:]  # less "all" and "Tc > 0"
    if not np.abs(tc - tc_pred).sum():
        return "It makes no error."
    worst = max(bands[bands["n"] > 0].to_dict("records"), key=lambda band: band["share_of_error"])
    return (
        f"{worst['share_of_error']:.0%} of its error comes from the {worst['n']} materials "
        f"of {worst['band']} K, with a bias of {worst['bias']:+.1f} K."
    )


def _chemistry(found: dict[str, float]) -> str:
    parts = [
        f"{found['share_of_known_elements']:.0%} of the materials are made of elements that it "
        f"has seen, {found['share_of_known_element_sets']:.0%} of an element set that it has seen"
    ]
    errors = [
        f"{found[f'mae_{key}']:.2f} K {words}"
        for key, words in (
            ("known_element_set", "on the latter"),
            ("new_elements", "where an element is new"),
        )
        if f"mae_{key}" in found
    ]
    if errors:
        parts.append("it errs by " + " and ".join(errors))
    return _capital("; ".join(parts)) + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
