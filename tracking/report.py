"""The tables of results/vision.md, from runs of train_dino in the tracking store.

    MLFLOW_TRACKING_URI=... python -m tracking.report RUN_ID... --curves results/vision_curves.png

The first run of a split is the one that the others of that split are compared with, paired; and so
are predictions from elsewhere (``--beside FILE.csv``, as ``benchmarks.palette --out`` writes them)
that are of the same test materials.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from supervision.metrics import paired_bootstrap
from tracking.plots import ACCENT, INK, QUIET, STYLE, WARM
from tracking.results import Result, test_part

PREDICTED = {"below 1": 1, "1 to 5": 5, "5 to 15": 15, "15 to 40": 40, "over 40": np.inf}  # K
COLOURS = {"lora": ACCENT, "linear": WARM, "full": INK}


def main() -> None:
    """Print the tables of each split; draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", help="run ids of finished trainings")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="predictions as CSV")
    parser.add_argument("--curves", type=Path, help="draw the validation curves to this file")
    options = parser.parse_args()
    results = [Result.read(run_id) for run_id in options.runs]
    beside = {path.stem: test_part(pd.read_csv(path)) for path in options.beside}
    for split_hash in dict.fromkeys(r.split_hash for r in results):
        report([r for r in results if r.split_hash == split_hash], beside)
    if options.curves:
        curves(results).savefig(options.curves, dpi=140)


def report(results: Sequence[Result], beside: Mapping[str, pd.DataFrame]) -> None:
    """Errors, paired differences and bands of the runs on one split."""
    first = results[0]
    print(f"\n## {first.split} (split {first.split_hash[:8]}, {len(first.test)} test materials)\n")
    print("| | epochs | best | validation MAE (K) | test MAE (K) | RMSE (K) | R2 | minutes |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, row in first.comparison.set_index("predictor").iloc[1:].iterrows():
        val = first.metrics[f"null_{str(name).replace(' ', '_')}_val_mae"]
        print(f"| {name} | | | {val:.2f} | {_errors(row)} | |")
    for result in results:
        row = result.comparison.iloc[0]
        print(
            f"| {result.adapt} (`{result.id[:8]}`) | {max(result.curve)} | {result.best_epoch} "
            f"| {result.metrics['val_mae_final']:.2f} | {_errors(row)} "
            f"| {result.metrics['train_minutes']:.0f} |"
        )
    _print_differences(first, results[1:], beside)
    _print_bands(first)


def _print_differences(
    first: Result, others: Sequence[Result], beside: Mapping[str, pd.DataFrame]
) -> None:
    print("\n| test MAE, paired | difference (K) | 95% interval | p |\n|---|---:|---:|---:|")
    for name, row in first.comparison.set_index("predictor").iloc[1:].iterrows():
        paired = {k: row[f"model_minus_null_{k}"] for k in ("difference", "low", "high", "p")}
        print(_paired(f"{first.adapt} - {name}", paired))
    rivals = {result.adapt: result.test for result in others} | dict(beside)
    for name, test in rivals.items():
        if test.index.equals(first.test.index):
            tc, ours, theirs = (
                x.to_numpy() for x in (first.test.tc, first.test.tc_pred, test.tc_pred)
            )
            print(_paired(f"{first.adapt} - {name}", paired_bootstrap(tc, ours, theirs)))


def _print_bands(first: Result) -> None:
    """By what was measured; and, for who has only a prediction, by what was predicted."""
    positive = first.test[first.test.tc > 0]
    ranks = [spearmanr(part.tc, part.tc_pred).statistic for part in (first.test, positive)]
    print(f"\nRank correlation (Spearman) {ranks[0]:.2f}; where Tc > 0, {ranks[1]:.2f}.")
    print(f"\n{first.adapt}, by measured Tc:\n")
    print("| band (K) | n | MAE (K) | bias (K) | share of error |\n|---|---:|---:|---:|---:|")
    for band in first.bands.itertuples():
        print(
            f"| {band.band} | {band.n} | {band.mae:.2f} | {band.bias:+.2f} "
            f"| {band.share_of_error:.0%} |"
        )
    print(f"\n{first.adapt}, by predicted Tc:\n")
    print("| predicted (K) | n | middle 80% of measured (K) | none reported | median error (K) |")
    print("|---|---:|---:|---:|---:|")
    edges = [-np.inf, *PREDICTED.values()]
    bands = pd.cut(first.test.tc_pred, edges, labels=list(PREDICTED))
    for band, part in first.test.groupby(bands, observed=True):
        low, high = part.tc.quantile([0.1, 0.9])
        error = (part.tc - part.tc_pred).abs().median()
        print(
            f"| {band} | {len(part)} | {low:.1f} to {high:.1f} "
            f"| {(part.tc == 0).mean():.0%} | {error:.1f} |"
        )


def _errors(row: pd.Series) -> str:
    return (
        f"{row.mae:.2f} ({row.mae_low:.2f} to {row.mae_high:.2f}) | {row.rmse:.2f} | {row.r2:.3f}"
    )


def _paired(name: str, paired: dict[str, float]) -> str:
    return (
        f"| {name} | {paired['difference']:+.2f} | {paired['low']:+.2f} to {paired['high']:+.2f} "
        f"| {'< 0.001' if paired['p'] < 0.001 else format(paired['p'], '.3f')} |"
    )


def curves(results: Sequence[Result]) -> Figure:
    """Validation MAE by epoch, a panel for each split, with the constant to beat."""
    splits = list(dict.fromkeys(r.split for r in results))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(splits), 3.8), layout="constrained")
        for ax, split in zip(
            figure.subplots(1, len(splits), squeeze=False)[0], splits, strict=True
        ):
            for result in (r for r in results if r.split == split):
                colour = COLOURS[result.adapt]
                ax.plot(*zip(*sorted(result.curve.items()), strict=True), color=colour,
                        marker="o", ms=3.5, label=result.adapt)  # fmt: skip
                best = result.best_epoch
                ax.scatter([best], [result.curve[best]], s=70, facecolors="none", edgecolors=colour)
            null = next(r for r in results if r.split == split).metrics
            value = null["null_constant_median_val_mae"]
            ax.axhline(value, color=QUIET, ls="--", lw=1.5, label=f"constant {value:.2f} K")
            ax.set(title=split, xlabel="epoch (0: the head alone)", ylabel="validation MAE (K)")
            ax.set_ylim(bottom=0)
            ax.legend(frameon=False, fontsize=8.5)
            ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


if __name__ == "__main__":
    main()
