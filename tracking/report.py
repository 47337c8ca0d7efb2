"""The tables of results/vision.md, from runs of train_dino in the tracking store.

    MLFLOW_TRACKING_URI=... python -m tracking.report RUN_ID... --curves results/vision_curves.png

The first run of a split is the one that the others of that split are compared with, paired.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import mlflow
import pandas as pd
from matplotlib.figure import Figure

from supervision.metrics import paired_bootstrap
from tracking.plots import ACCENT, INK, QUIET, STYLE, WARM

COLOURS = {"lora": ACCENT, "linear": WARM, "full": INK}


@dataclass(frozen=True)
class Result:
    """A finished run, read back."""

    id: str
    adapt: str
    split: str
    split_hash: str
    metrics: dict[str, float]
    curve: dict[int, float]
    comparison: pd.DataFrame
    bands: pd.DataFrame
    test: pd.DataFrame

    @classmethod
    def read(cls, run_id: str) -> "Result":
        """Raises ValueError for a run that is not finished."""
        run, client = mlflow.get_run(run_id), mlflow.MlflowClient()
        if run.info.status != "FINISHED":
            raise ValueError(f"Run {run_id} is {run.info.status}, not FINISHED.")
        predictions = _table(run_id, "predictions.csv")
        return cls(
            id=run_id,
            adapt=run.data.params["adapt"],
            split=run.data.tags["split"],
            split_hash=run.data.params["split_hash"],
            metrics=run.data.metrics,
            curve={m.step: m.value for m in client.get_metric_history(run_id, "val_mae")},
            comparison=_table(run_id, "comparison.csv"),
            bands=_table(run_id, "bands.csv"),
            test=predictions[predictions["split"] == "test"].set_index("material_id").sort_index(),
        )

    @property
    def best_epoch(self) -> int:
        """The epoch that validation chose."""
        return min(self.curve, key=lambda epoch: self.curve[epoch])


def _table(run_id: str, name: str) -> pd.DataFrame:
    return pd.read_csv(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name))


def main() -> None:
    """Print the tables of each split; draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", help="run ids of finished trainings")
    parser.add_argument("--curves", type=Path, help="draw the validation curves to this file")
    options = parser.parse_args()
    results = [Result.read(run_id) for run_id in options.runs]
    for split_hash in dict.fromkeys(r.split_hash for r in results):
        report([r for r in results if r.split_hash == split_hash])
    if options.curves:
        curves(results).savefig(options.curves, dpi=140)


def report(results: Sequence[Result]) -> None:
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
    print("\n| test MAE, paired | difference (K) | 95% interval | p |\n|---|---:|---:|---:|")
    for name, row in first.comparison.set_index("predictor").iloc[1:].iterrows():
        paired = {k: row[f"model_minus_null_{k}"] for k in ("difference", "low", "high", "p")}
        print(_paired(f"{first.adapt} - {name}", paired))
    for other in results[1:]:
        both = other.test.join(first.test[["tc_pred"]], rsuffix="_first", validate="1:1")
        tc, a, b = (both[c].to_numpy() for c in ("tc", "tc_pred", "tc_pred_first"))
        print(_paired(f"{other.adapt} - {first.adapt}", paired_bootstrap(tc, a, b)))
    print(f"\n{first.adapt}, by band of Tc:\n")
    print("| band (K) | n | MAE (K) | bias (K) | share of error |\n|---|---:|---:|---:|---:|")
    for band in first.bands.itertuples():
        print(
            f"| {band.band} | {band.n} | {band.mae:.2f} | {band.bias:+.2f} "
            f"| {band.share_of_error:.0%} |"
        )


def _errors(row: pd.Series) -> str:
    return (
        f"{row.mae:.2f} ({row.mae_low:.2f} to {row.mae_high:.2f}) | {row.rmse:.2f} | {row.r2:.3f}"
    )


def _paired(name: str, paired: dict[str, float]) -> str:
    return (
        f"| {name} | {paired['difference']:+.2f} | {paired['low']:+.2f} to {paired['high']:+.2f} "
        f"| {paired['p']:.3f} |"
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
