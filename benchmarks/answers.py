"""Intervals, probabilities and errors of the released models, from their predictions in folds.

    python -m benchmarks.answers --out results/    # a minute; needs no data

Prints the tables of results/answer.md and writes answer.png.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables import markdown
from supervision.answer.calibration import LEVEL, REPORTED
from supervision.answer.domain import DOMAINS, KNOWN, NEW_FAMILY, SERIES
from supervision.answer.released import MANIFEST_FILE
from supervision.data.splits import SPLIT_KINDS
from supervision.evaluation.coverage import reliability
from supervision.evaluation.metrics import mae, paired_bootstrap
from supervision.release.figures import coverage_table, error_table, probability_table
from supervision.release.out_of_fold import CALIBRATED_ON, HeldOutAnswers, OutOfFold
from supervision.runtime.plot_style import GREY, PALETTE, STYLE, TC_TICKS
from supervision.runtime.version import ROOT

SPLIT = "novel"
SHOWN = (KNOWN, SERIES, NEW_FAMILY)  # domains
HIGHEST = 90  # K
WARM, HOT = 15.0, 40.0  # K


def main() -> None:
    """Print the tables, draw the figures."""
    options = _options()
    manifest = json.loads((options.released / MANIFEST_FILE).read_text())
    found = {
        name: OutOfFold.load(options.released / model["path"])
        for name, model in manifest["models"].items()
    }
    print("## Errors\n")
    print(markdown(_errors(found)))
    default, fast = found[manifest["default"]], found[manifest["fast"]]
    print(f"\nFast against {manifest['default']}: {_fast_against(default, fast)}")
    answers = HeldOutAnswers.cross_fit(default)
    print(f"\n## The {LEVEL:.0%} interval of the {manifest['default']}\n")
    print(markdown(coverage_table(answers)))
    print(f"\n{_outside(answers)}")
    print("\n## The intervals of the other models\n")
    others = {name: of for name, of in found.items() if name != manifest["default"]}
    print(markdown(_coverage_of(others)))
    print("\n## Its probabilities\n")
    print(markdown(probability_table(answers)))
    with matplotlib.rc_context(STYLE):
        figure(default, answers).savefig(options.out / "answer.png")


def _errors(found: dict[str, OutOfFold]) -> pd.DataFrame:
    tables = [error_table(of).assign(model=name) for name, of in found.items()]
    joined = pd.concat(tables, ignore_index=True)
    return joined[["model", *(c for c in joined if c != "model")]]


def _coverage_of(found: dict[str, OutOfFold]) -> pd.DataFrame:
    """Coverage and mean width of each model, by split."""
    rows = []
    for name, of in found.items():
        table = coverage_table(HeldOutAnswers.cross_fit(of)).set_index("materials")
        row: dict[str, Any] = {"model": name}
        for split in (s for s in CALIBRATED_ON if s in of.splits):
            whole = table.loc[f"all of `{split}`"]
            row[f"`{split}`: coverage"] = whole["coverage"]
            row[f"`{split}`: mean width (K)"] = whole["mean width (K)"]
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _outside(answers: HeldOutAnswers) -> str:
    """Where materials of high Tc are, and what makes the intervals of new families wide."""
    of, (low, high) = answers.of, answers.interval.T
    is_high, is_novel = of.tc > WARM, of.split == SPLIT_KINDS.index(SPLIT)
    above, below = (of.tc > high)[is_high], (of.tc < low)[is_high]
    unreported = [
        f"{(of.tc[is_novel & (of.tc_pred > kelvin)] < REPORTED).mean():.0%} over {kelvin:g} K"
        for kelvin in (WARM, HOT)
    ]
    return (
        f"Of {is_high.sum():,} materials over {WARM:g} K, {above.sum()} are above their interval "
        f"and {below.sum()} below it ({above.mean() + below.mean():.0%}). Without a reported Tc, "
        f"of predictions on {SPLIT}: {', '.join(unreported)}."
    )


def _fast_against(default: OutOfFold, fast: OutOfFold) -> str:
    """The paired difference on new families, and the ratio of the errors."""
    one, other = fast.of([SPLIT]), default.of([SPLIT])
    pair = paired_bootstrap(one.tc, one.tc_pred, other.tc_pred, groups=one.family.astype(str))
    errors = [mae(of.tc, of.tc_pred) for of in (one, other)]
    return (
        f"{errors[0]:.2f} K and {errors[1]:.2f} K on {SPLIT}, {errors[0] / errors[1] - 1:+.1%}; "
        f"{pair['difference']:+.2f} K ({pair['low']:+.2f} to {pair['high']:+.2f})."
    )


def figure(default: OutOfFold, answers: HeldOutAnswers) -> Figure:
    """Reliability of the probabilities, and the interval of a predicted Tc."""
    drawn = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, lw=1, zorder=0)
    for colour, (name, event) in zip(PALETTE, answers.events().items(), strict=False):
        points = reliability(*event)
        left.plot(points[:, 0], points[:, 1], "o-", color=colour, ms=4, lw=1.2, label=name)
    left.set(
        xlabel="probability that the model gives", ylabel="fraction of materials",
        title="Probabilities in families not calibrated on", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
        aspect="equal",
    )  # fmt: skip
    left.legend(frameon=False, fontsize=9, loc="upper left")
    _draw_intervals(right, default)
    return drawn


def _draw_intervals(ax: Axes, default: OutOfFold) -> None:
    """The interval of each predicted Tc, by domain; both axes are square roots."""
    tc = np.linspace(0, np.sqrt(HIGHEST), 400) ** 2
    ax.plot(np.sqrt(tc), np.sqrt(tc), color=GREY, lw=1, zorder=0)
    for colour, domain in zip(PALETTE, SHOWN, strict=False):
        bounds = default.calibration().interval(tc, np.full(len(tc), domain))
        low, high = np.sqrt(bounds).T
        ax.plot(np.sqrt(tc), high, color=colour, lw=1.6, label=DOMAINS[domain])
        ax.plot(np.sqrt(tc), low, color=colour, lw=1.6)
    ticks = [t for t in TC_TICKS if t <= HIGHEST]
    ax.set_xticks(np.sqrt(ticks), [f"{t:g}" for t in ticks])
    ax.set_yticks(np.sqrt(TC_TICKS), [f"{t:g}" for t in TC_TICKS])
    ax.set(xlabel="predicted Tc (K)", ylabel="measured Tc (K)", title=f"{LEVEL:.0%} intervals")
    ax.legend(frameon=False, fontsize=9, loc="upper left")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--released", type=Path, default=ROOT / "released")
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
