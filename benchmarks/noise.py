"""The noise of the labels: how far the Tc of materials of nearly the same composition are apart.

    python -m benchmarks.noise --data 3DSC_MP.tar.xz --out results/    # half a minute

Prints two tables and a sentence, and writes noise.md with them and noise.png.

The difference of a material at a distance is the mean absolute difference of its Tc to those of all
materials at that distance of composition. Every material counts once in its bin of distances, and
all intervals are bootstraps over families. Cuprates, iron compounds and the others are separate,
since materials with near neighbours are far more often cuprates than those without.

The limit: two labels a and b and one prediction m of both have |a - b| <= |a - m| + |b - m|. So
where two labels of one composition differ by D on average, the MAE of any function of composition
is at least D / 2, whatever the distribution of the labels. For Gaussian labels it is at least
D / sqrt(2): E|a - b| = 2 s / sqrt(pi), and E|a - m| = s sqrt(2 / pi) for the best m.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.neighbors import radius_neighbors_graph

from supervision.data.composition_distance import fraction_matrix
from supervision.data.crystals import Material, group_materials
from supervision.data.datasets.load import load_dataset
from supervision.data.families import families
from supervision.data.material_classes import related
from supervision.evaluation.bootstrap import (
    BOOTSTRAP_SAMPLES,
    group_indices,
    interval,
    resampled_counts,
)
from supervision.evaluation.ranking import ratio
from supervision.runtime.plot_style import BLUE, GREY, RED, STYLE

EDGES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of the bins of distance
NEAR = 0.005  # two materials at most this far apart are taken to be of one composition
CLASSES = ("cuprates", "iron compounds", "others")
STATISTICS: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median}
TC_TICKS_KELVIN, DISTANCE_TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 40), (0.001, 0.005, 0.02, 0.1, 0.5)


def main() -> None:
    """Read the data, find the pairs, print the tables, draw the figure."""
    options = _options()
    materials = group_materials(load_dataset("3dsc", options.data).crystals)
    tc = np.array([m.tc for m in materials])
    family_of = families(materials)
    family = np.array([family_of[m.id] for m in materials])
    classes = classes_of(materials)
    pairs = near_pairs(fraction_matrix([m.formula for m in materials]), tc)
    bins = differences_by_distance(pairs, classes, family)
    limits = limits_by_class(pairs, classes, family)
    text = "\n\n".join(
        [
            f"{len(materials)} materials of 3dsc. `python -m benchmarks.noise --data "
            f"{Path(options.data).name} --out results/`",
            bins_table(bins),
            limits_table(limits),
            conclusion(pairs, limits),
        ]
    )
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "noise.md").write_text(f"# Noise of the labels\n\n{text}\n")
    draw(bins).savefig(options.out / "noise.png")


def classes_of(materials: Sequence[Material]) -> np.ndarray:
    """The class of each material by its elements, one of ``CLASSES``, [n]."""
    cuprate, iron = related(materials, "cuprate"), related(materials, "iron")
    return np.select([cuprate, iron], CLASSES[:2], CLASSES[2])


def near_pairs(fractions: np.ndarray, tc: np.ndarray) -> pd.DataFrame:
    """All ordered pairs of materials at most EDGES[-1] apart.

    Returns the columns ``material`` (its row in ``fractions``), ``distance``, ``difference`` of
    their Tc (K, absolute) and ``reported``: whether both have one, not Tc = 0.
    """
    graph = radius_neighbors_graph(fractions, EDGES[-1], mode="distance", metric="manhattan")
    graph = graph.tocoo()
    one, other = graph.row, graph.col
    return pd.DataFrame(
        {
            "material": one,
            "distance": graph.data.round(9),  # those of a doping series are on the edges of bins
            "difference": np.abs(tc[one] - tc[other]),
            "reported": (tc[one] > 0) & (tc[other] > 0),
        }
    )


def differences_by_distance(
    pairs: pd.DataFrame, classes: np.ndarray, family: np.ndarray
) -> pd.DataFrame:
    """Mean and median difference of Tc, one row per class and bin of distance (low, high].

    Columns: ``class``; ``bin``; ``distance``, the mean of the pairs; ``materials``, their number;
    ``mean`` and ``median`` (K) with their intervals ``_low`` and ``_high``. With the prefix
    ``reported_`` they are over the pairs that both have a Tc.
    """
    rows = []
    for name in CLASSES:
        members = pairs[classes[pairs["material"]] == name]
        for low, high in pairwise(EDGES):
            found = members[(members["distance"] > low) & (members["distance"] <= high)]
            row: dict[str, Any] = {"class": name, "bin": f"{low:g} to {high:g}"}
            row["distance"] = found["distance"].mean()
            for prefix, part in (("", found), ("reported_", found[found["reported"]])):
                values = difference_of_materials(part)
                summary = mean_and_median(values.to_numpy(), family[values.index])
                row |= {prefix + key: value for key, value in summary.items()}
            rows.append(row)
    return pd.DataFrame(rows)


def difference_of_materials(pairs: pd.DataFrame) -> pd.Series:
    """The mean difference of each material to the others of its pairs, K, by material."""
    return pairs.groupby("material")["difference"].mean()


def mean_and_median(values: np.ndarray, family: np.ndarray) -> dict[str, float]:
    """``materials`` (their number), ``mean``, ``median``, and bootstrap intervals over families."""
    if not values.size:
        return {"materials": 0}
    group = group_indices(family, values.size)
    counts = resampled_counts(group.max() + 1, BOOTSTRAP_SAMPLES, seed=0).astype(int)
    resampled = [np.repeat(values, count[group]) for count in counts]
    found: dict[str, float] = {"materials": values.size}
    for name, statistic in STATISTICS.items():
        low, high = interval(np.array([statistic(drawn) for drawn in resampled]), 0.95)
        found |= {name: float(statistic(values)), f"{name}_low": low, f"{name}_high": high}
    return found


def limits_by_class(pairs: pd.DataFrame, classes: np.ndarray, family: np.ndarray) -> pd.DataFrame:
    """The difference of near materials by class, and for all materials.

    The last row is the mean over the classes, weighted by their share of all materials: what all
    would have if, in each class, those without a near material were like those with one.

    Columns: ``class``, ``materials`` of the class, ``near`` (those with a near one), and their
    ``difference`` (K) with its interval ``low``, ``high``.
    """
    values = difference_of_materials(pairs[pairs["distance"] <= NEAR])
    member = classes[values.index] == np.array(CLASSES)[:, None]  # [classes, near materials]
    group = group_indices(family[values.index], len(values))
    counts = resampled_counts(group.max() + 1, BOOTSTRAP_SAMPLES, seed=0)[:, group]
    counts = np.vstack([np.ones(len(values)), counts])  # the materials themselves are the first
    means = ratio((counts * values.to_numpy()) @ member.T, counts @ member.T)
    sizes = np.array([(classes == name).sum() for name in CLASSES])
    means = np.column_stack([means, means @ sizes / sizes.sum()])
    intervals = np.array([interval(drawn, 0.95) for drawn in means[1:].T])
    return pd.DataFrame(
        {
            "class": [*CLASSES, "all, by class"],
            "materials": [*sizes, sizes.sum()],
            "near": [*member.sum(1), len(values)],
            "difference": means[0],
            "low": intervals[:, 0],
            "high": intervals[:, 1],
        }
    )


def bins_table(bins: pd.DataFrame) -> str:
    """``differences_by_distance`` as a Markdown table."""
    lines = [
        "| class | distance | materials | mean difference (K) | median (K) "
        "| materials, both Tc > 0 | mean (K) | median (K) |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in bins.to_dict("records"):
        values = [
            f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
            for name in STATISTICS
        ]
        reported = [f"{row[f'reported_{name}']:.2f}" for name in STATISTICS]
        cells = [row["class"], row["bin"], row["materials"], *values]
        cells += [row["reported_materials"], *reported]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def limits_table(limits: pd.DataFrame) -> str:
    """``limits_by_class`` as a Markdown table."""
    lines = [
        f"| class | materials | with one at most {NEAR:g} apart | mean difference D (K) "
        "| D / 2 (K) | D / sqrt(2) (K) |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in limits.to_dict("records"):
        d = row["difference"]
        lines.append(
            f"| {row['class']} | {row['materials']} | {row['near']} | {d:.2f} ({row['low']:.2f} to "
            f"{row['high']:.2f}) | {d / 2:.2f} | {d / sqrt(2):.2f} |"
        )
    return "\n".join(lines)


def conclusion(pairs: pd.DataFrame, limits: pd.DataFrame) -> str:
    """What can be said of the MAE that no model of composition has, with its assumptions."""
    near = pairs[pairs["distance"] <= NEAR]
    values = difference_of_materials(near)
    share = near["difference"] / near.groupby("material")["difference"].transform("size")
    unreported = share[~near["reported"]].sum() / values.sum()
    whole = limits.iloc[-1]
    d = whole[["difference", "low", "high"]].astype(float)

    def kelvin(values: pd.Series, digits: int) -> str:
        mean, low, high = (f"{value:.{digits}f}" for value in values)
        return f"{mean} K ({low} to {high})"

    return (
        f"The {len(values)} materials that have another at most {NEAR:g} apart differ from it by "
        f"{values.mean():.2f} K on average and {values.median():.2f} K in the median; "
        f"{unreported:.0%} of the difference is between a material with and one without a reported "
        f"Tc. Weighted by class to all {whole['materials']} materials the mean is D = "
        f"{kelvin(d, 2)}. If these differences are noise, and as large for the materials of each "
        "class that have no other so near, the expected MAE of any function of composition on "
        f"`random` is at least D / 2 = {kelvin(d / 2, 1)}, whatever the distribution of the noise; "
        f"for Gaussian noise at least D / sqrt(2) = {kelvin(d / sqrt(2), 1)}. Where Tc truly "
        f"changes within {NEAR:g}, the limit is lower."
    )


def draw(bins: pd.DataFrame) -> Figure:
    """The difference of Tc against the distance, on logarithmic axes, one panel per class."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        panels = figure.subplots(1, len(CLASSES), sharey=True)
        for ax, name in zip(panels, CLASSES, strict=True):
            rows = bins[bins["class"] == name]
            for key, colour in (("mean", BLUE), ("median", RED)):
                ax.plot(rows["distance"], rows[key], "o-", color=colour, label=key)
                low, high = rows[f"{key}_low"], rows[f"{key}_high"]
                ax.fill_between(rows["distance"], low, high, color=colour, alpha=0.15, lw=0)
            label = "mean, both Tc > 0"
            ax.plot(rows["distance"], rows["reported_mean"], "--", color=GREY, label=label)
            ax.axvline(NEAR, color=GREY, lw=0.8, ls=":")
            ax.set(xscale="log", yscale="log", title=name)
            ax.set_xticks(DISTANCE_TICKS, [f"{x:g}" for x in DISTANCE_TICKS], minor=False)
            ax.set_xticks([], minor=True)
        panels[0].set_yticks(TC_TICKS_KELVIN, [f"{t:g}" for t in TC_TICKS_KELVIN])
        panels[0].set_yticks([], minor=True)
        panels[0].set_ylabel("difference of Tc (K)")
        panels[-1].legend(loc="upper left", frameon=False)
        figure.supxlabel("distance of two compositions", fontsize=10)
    return figure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for noise.md, noise.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
