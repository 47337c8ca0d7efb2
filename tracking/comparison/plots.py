"""The figures of the comparison. Each can be used alone, for example on a slide."""

from collections.abc import Iterable, Sequence
from itertools import cycle
from math import ceil
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supervision.evaluation.metrics import mae, r2
from supervision.runtime.plot_style import BLUE, GREY, PALETTE, STYLE, TEXT_COLOUR
from tracking.comparison.differences import (
    BASELINE_FAMILY,
    best_of_families,
    names_of,
    of_family,
    ranked,
    splits_of,
)
from tracking.comparison.results import Result
from tracking.plots import parity_axes

CONSTANT_VAL_MAE = "null_constant_median_val_mae"  # a metric of every run


def colours_of(results: Sequence[Result]) -> dict[str, str]:
    """One colour per model, the same in every figure."""
    return dict(zip(names_of(results), cycle(PALETTE), strict=False))


def table(frame: pd.DataFrame, title: str) -> Figure:
    """A table as a figure."""
    widths = [max(len(str(x)) for x in (name, *frame[name])) for name in frame.columns]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.1 * sum(widths) + 0.6, 0.29 * len(frame) + 0.6))
        ax = figure.subplots()
        ax.set_axis_off()
        drawn = ax.table(
            cellText=frame.astype(str).values.tolist(),
            colLabels=list(frame.columns),
            colWidths=[w / sum(widths) for w in widths],
            cellLoc="center",
            loc="center",
            edges="horizontal",
        )
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(9)
        drawn.scale(1, 1.4)
        for (row, column), cell in drawn.get_celld().items():
            cell.set_edgecolor(GREY)
            if row == 0:
                cell.get_text().set_fontweight("bold")
            if column == 0:
                cell.get_text().set_horizontalalignment("left")
        ax.set_title(title)
    return figure


def scatter(results: Sequence[Result]) -> Figure:
    """Predicted against measured Tc of the best model on validation of each family, per split."""
    splits = splits_of(results)
    best = {split: best_of_families(ranked(results, split)) for split in splits}
    families = list(dict.fromkeys(name for models in best.values() for name in models))
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(3.9 * max(1, len(families)), 4.1 * len(splits)), layout="constrained"
        )
        grid = figure.subplots(len(splits), max(1, len(families)), squeeze=False)
        for row, split in zip(grid, splits, strict=True):
            for ax in row:
                ax.set_axis_off()
            for ax, family in zip(row, families, strict=False):
                if family in best[split]:
                    ax.set_axis_on()
                    _parity(ax, best[split][family], BLUE)
    return figure


def parity(results: Sequence[Result], split: str) -> Figure:
    """Predicted against measured Tc for every model of a split."""
    models, colours = ranked(results, split), colours_of(results)
    columns = min(4, len(models))
    rows = ceil(len(models) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.3 * columns, 3.5 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, model in zip(axes, models, strict=False):
            _parity(ax, model, colours[model.name])
        for ax in axes[len(models) :]:
            ax.set_axis_off()
    return figure


def _parity(ax: Axes, result: Result, colour: str) -> None:
    tc, tc_pred = result.test["tc"].to_numpy(), result.test["tc_pred"].to_numpy()
    parity_axes(ax, tc, tc_pred, colour)
    ax.set_title(f"{fill(result.name, 38)}\n{result.split}", fontsize=8.5)
    text = f"MAE {mae(tc, tc_pred):.2f} K\nR² {r2(tc, tc_pred):.2f}"
    ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top", fontsize=9)


def residuals(results: Sequence[Result]) -> Figure:
    """Cumulative distribution of the absolute error, and bias by band of Tc; one row per split."""
    splits, colours = splits_of(results), colours_of(results)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2 * len(splits)), layout="constrained")
        grid = figure.subplots(len(splits), 2, squeeze=False)
        for (left, right), split in zip(grid, splits, strict=True):
            for model in ranked(results, split):
                error = (model.test["tc_pred"] - model.test["tc"]).to_numpy()
                style = {"color": colours[model.name], "lw": 1.8, "label": model.name}
                left.plot(np.sort(np.abs(error)), np.linspace(0, 1, len(error)), **style)
                shown = model.bands.iloc[2:].query("n > 0")
                right.plot(shown["band"], shown["bias"], marker="o", **style)
            left.set_xscale("symlog", linthresh=1)
            left.set(xlim=(0, None), ylim=(0, 1), xlabel="absolute error (K)", title=split)
            left.set_xticks([0, 0.5, 1, 2, 5, 10, 20, 50, 100], minor=False)
            left.xaxis.set_major_formatter("{x:g}")
            left.set_ylabel("share of materials within")
            left.grid(color=GREY, alpha=0.3)
            right.axhline(0, color=TEXT_COLOUR, lw=0.8)
            right.set(xlabel="measured Tc (K)", ylabel="bias: predicted - measured (K)")
        _legend_below(figure, [left for left, _ in grid])
    return figure


def curves(results: Sequence[Result]) -> Figure:
    """Validation MAE by epoch, one panel per split; the constant and the baseline as lines."""
    splits, colours = splits_of(results), colours_of(results)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(splits), 5.2), layout="constrained")
        axes = figure.subplots(1, len(splits), squeeze=False)[0]
        for ax, split in zip(axes, splits, strict=True):
            models = ranked(results, split)
            for model in (m for m in models if m.curve):
                epochs, values = zip(*sorted(model.curve.items()), strict=True)
                colour = colours[model.name]
                ax.plot(epochs, values, color=colour, marker="o", ms=3, label=model.name)
                best = model.best_epoch
                ax.scatter([best], [model.curve[best]], s=70, facecolors="none", edgecolors=colour)
            for model in of_family(models, BASELINE_FAMILY):
                value = model.metrics["val_mae_final"]
                ax.axhline(value, color=colours[model.name], ls=":", lw=1.5, label=model.name)
            constants = [
                m.metrics[CONSTANT_VAL_MAE] for m in models if CONSTANT_VAL_MAE in m.metrics
            ]
            if constants:
                ax.axhline(constants[0], color=GREY, ls="--", lw=1.5, label="constant median")
            ax.set(xlabel="epoch (0: only the head)", ylabel="validation MAE (K)", title=split)
            ax.xaxis.get_major_locator().set_params(integer=True)
        _legend_below(figure, axes)
    return figure


def _legend_below(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend for several panels, each name once."""
    artists: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        artists |= dict(zip(labels, handles, strict=True))
    figure.legend(
        list(artists.values()), list(artists),
        loc="outside lower center", ncols=2, frameon=False, fontsize=9,
    )  # fmt: skip
