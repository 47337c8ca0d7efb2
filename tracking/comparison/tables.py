"""The tables of the comparison. All errors are of test materials, one prediction per material."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from supervision.evaluation.metrics import all_metrics, bootstrap_intervals
from tracking.comparison.differences import (
    BASELINE_FAMILY,
    TRIVIAL_BASELINES,
    all_differences,
    baseline_rows,
    best_on_validation,
    difference,
    first_baseline_rows,
    mean_of,
    names_of,
    of_family,
    ranked,
    splits_of,
)
from tracking.comparison.results import Result

PREDICTED_BANDS = {  # name -> upper edge, K
    "below 1": 1,
    "1 to 5": 5,
    "5 to 15": 15,
    "15 to 40": 40,
    "over 40": np.inf,
}
PUBLISHED = (  # model, MAE in K, data, source
    ("ALIGNN, alex_supercon_Tc", "0.88", "Tc computed with DFT, Alexandria", "alignn 2026.8.11"),
    (
        "BETE-NET, from the spectral function",
        "2.1",
        "Tc computed with DFT, 818 materials",
        "npj Comput. Mater. 11, 7 (2025)",
    ),
    (
        "boosted trees on composition",
        "RMSE 9.5",
        "SuperCon, superconductors only, with repeated entries",
        "arXiv:1803.10260; doi:10.3390/molecules26010008",
    ),
)
CLAIMED = (  # model, MAE in K on a random split of 3DSC that differs from this project's
    ("a vision transformer", "4.85"),
    ("ALIGNN, fine-tuned", "5.34"),
    ("ALIGNN, zero-shot", "9.49"),
)
MISSING = "–"


def main_table(results: Sequence[Result]) -> pd.DataFrame:
    """One row per model: MAE with its interval, RMSE and R2 on each split; baselines first."""
    logged = {row["predictor"] for result in results for row in baseline_rows(result)}
    baselines = [name for name in TRIVIAL_BASELINES if name in logged]
    rows: dict[str, dict[str, str]] = {name: {} for name in (*baselines, *names_of(results))}
    for split in splits_of(results):
        models = ranked(results, split)
        for model in models:
            rows[model.name] |= _error_cells(split, _errors(model))
        for baseline in first_baseline_rows(models):
            rows[str(baseline["predictor"])] |= _error_cells(split, baseline)
    table = pd.DataFrame.from_dict(rows, orient="index").fillna(MISSING)
    return table.rename_axis("model").reset_index()


def band_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """MAE and bias of each model in each band of measured Tc."""
    models = ranked(results, split)
    counted = models[0].bands[models[0].bands["n"] > 0]
    columns = {f"{row.band}, n = {row.n}": row.band for row in counted.itertuples()}
    rows = []
    for model in models:
        bands = model.bands.set_index("band").to_dict("index")
        cells = {
            title: f"{bands[band]['mae']:.2f} ({bands[band]['bias']:+.1f})"
            for title, band in columns.items()
        }
        rows.append({"MAE (and bias), K": model.name} | cells)
    return pd.DataFrame(rows)


def expectation_table(result: Result) -> pd.DataFrame:
    """By band of predicted Tc, what was measured: how far a single prediction can be trusted."""
    test = result.test
    bands = pd.cut(
        test["tc_pred"], [-np.inf, *PREDICTED_BANDS.values()], labels=list(PREDICTED_BANDS)
    )
    rows = []
    for band, part in test.groupby(bands, observed=True):
        low, high = part["tc"].quantile([0.1, 0.9])
        rows.append(
            {
                "predicted (K)": band,
                "n": len(part),
                "middle 80% of measured (K)": f"{low:.1f} to {high:.1f}",
                "none reported": f"{(part['tc'] == 0).mean():.0%}",
                "median error (K)": f"{(part['tc'] - part['tc_pred']).abs().median():.1f}",
            }
        )
    return pd.DataFrame(rows)


def rank_correlation(result: Result) -> float:
    """Spearman's rank correlation of predicted and measured Tc over the test materials.

    NaN where all predictions are equal.
    """
    if np.ptp(result.test["tc_pred"]) == 0:
        return float("nan")
    return float(spearmanr(result.test["tc"], result.test["tc_pred"]).statistic)


def pair_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """Every pair of models: difference, interval, p, and whether a difference is shown."""
    rows = [
        {
            "MAE of": d.one,
            "minus that of": d.other,
            "difference (K)": f"{d.difference:+.2f}",
            "95% interval": f"{d.low:+.2f} to {d.high:+.2f}",
            "p": "< 0.001" if d.p < 0.001 else f"{d.p:.3f}",
            "shown": "yes" if d.is_shown else "",
        }
        for d in all_differences(results, split)
    ]
    return pd.DataFrame(rows)


def mean_table(results: Sequence[Result], split: str) -> pd.DataFrame:
    """The mean of each model and the baseline, compared with the baseline alone.

    It is better where the model knows what the baseline does not. Empty without a baseline.
    """
    models = ranked(results, split)
    baseline = best_on_validation(of_family(models, BASELINE_FAMILY))
    if baseline is None:
        return pd.DataFrame()
    rows = []
    for model in (m for m in models if m is not baseline):
        mean = mean_of(model, baseline)
        d = difference(mean, baseline)
        rows.append(
            {
                f"mean of {baseline.name} and": model.name,
                "MAE (K)": f"{mae_of(mean):.2f}",
                "minus the baseline's (K)": f"{d.difference:+.2f}",
                "95% interval": f"{d.low:+.2f} to {d.high:+.2f}",
                "shown": "yes" if d.is_shown else "",
            }
        )
    return pd.DataFrame(rows)


def mae_of(result: Result) -> float:
    """MAE on the test materials, K."""
    return all_metrics(result.test["tc"].to_numpy(), result.test["tc_pred"].to_numpy())["mae"]


def cost_table(results: Sequence[Result], milliseconds: Mapping[str, str]) -> pd.DataFrame:
    """One row per run: size, share trained, epochs, minutes, milliseconds per crystal.

    ``milliseconds`` are by run id.
    """
    rows = []
    for result in results:
        if not result.id:
            continue
        parameters = int(result.params.get("parameters", 0))
        trained = int(result.params.get("trained_parameters", 0))
        trees = f"{result.params['trees']} trees" if "trees" in result.params else MISSING
        epochs = f"{max(result.curve)} ({result.best_epoch})" if result.curve else MISSING
        rows.append(
            {
                "model": result.name,
                "split": result.split,
                "parameters": f"{parameters / 1e6:.2f} M" if parameters else trees,
                "trained": f"{trained / parameters:.1%}" if trained else MISSING,
                "epochs (best)": epochs,
                "minutes": _minutes(result),
                "ms per crystal": milliseconds.get(result.id, MISSING),
                "run": f"`{result.id[:8]}`",
            }
        )
    return pd.DataFrame(rows)


def published_table() -> pd.DataFrame:
    """Errors reported by others, on other data or another split: not comparable."""
    data = "3DSC, another random split"
    rows = [(model, mae, data, "claimed, unpublished") for model, mae in CLAIMED]
    columns = ["published elsewhere", "MAE (K)", "data", "source"]
    return pd.DataFrame([*rows, *PUBLISHED], columns=columns)


def _errors(result: Result) -> dict[str, float]:
    """Test metrics with their intervals."""
    tc, tc_pred = result.test["tc"].to_numpy(), result.test["tc_pred"].to_numpy()
    found = all_metrics(tc, tc_pred)
    for name, (low, high) in bootstrap_intervals(tc, tc_pred, groups=result.groups).items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def _error_cells(split: str, row: Mapping[str, float]) -> dict[str, str]:
    def cell(name: str, digits: int) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return f"{row[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    return {
        f"{split}: MAE (K)": cell("mae", 2),
        f"{split}: RMSE (K)": cell("rmse", 1),
        f"{split}: R²": cell("r2", 2),
    }


def _minutes(result: Result) -> str:
    minutes = result.metrics.get("train_minutes")
    return MISSING if minutes is None else f"{minutes:.1f}"
