"""Plots of a run: the same colours and Tc bands in all of them, Tc in kelvin."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supervision.data.quantity import TC, Quantity
from supervision.evaluation.metrics import mae, r2
from supervision.runtime.plot_style import BLUE, GREY, PALETTE, RED, STYLE, TC_TICKS, TEXT_COLOUR
from supervision.training.callbacks import EpochRecord


def _figure(width: float = 6.0, height: float = 4.6) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.subplots()
    return figure


def parity(predictions: pd.DataFrame, title: str, quantity: Quantity = TC) -> Figure:
    """Predicted against measured Tc, on sqrt axes: both 2 K and 90 K are readable.

    Another quantity has linear axes.
    """
    with matplotlib.rc_context(STYLE):
        figure = _figure(5.4, 5.2)
        ax = figure.axes[0]
        tc, tc_pred = predictions["tc"].to_numpy(), predictions["tc_pred"].to_numpy()
        (parity_axes if quantity.is_tc else _linear_parity_axes)(ax, tc, tc_pred, BLUE)
        if not quantity.is_tc:
            ax.set(xlabel=f"known {quantity.label}", ylabel=f"predicted {quantity.label}")
        ax.set_title(fill(title, 48))  # the figure is narrow
        error = quantity.error(mae(tc, tc_pred))
        text = f"{len(tc)} materials\nMAE {error}\nR² {r2(tc, tc_pred):.3f}"
        ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top")
    return figure


def parity_axes(ax: Axes, tc: np.ndarray, tc_pred: np.ndarray, colour: str) -> None:
    """Draw predicted against measured Tc, both on sqrt axes, with the diagonal."""
    top = 1.05 * max(tc.max(), tc_pred.max(), 1.0)
    ax.plot([0, top], [0, top], color=GREY, lw=1.2, zorder=1)
    ax.scatter(tc, tc_pred, s=14, color=colour, alpha=0.55, lw=0, zorder=2, clip_on=False)
    for axis in (ax.set_xscale, ax.set_yscale):
        axis("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ticks = [t for t in TC_TICKS if t <= top]
    ax.set(xlim=(0, top), ylim=(0, top), xticks=ticks, yticks=ticks, aspect="equal")
    ax.set(xlabel="measured Tc (K)", ylabel="predicted Tc (K)")


def _linear_parity_axes(ax: Axes, known: np.ndarray, predicted: np.ndarray, colour: str) -> None:
    """Draw predicted against known values of any sign, with the diagonal."""
    low, high = (f(f(known), f(predicted)) for f in (min, max))
    margin = 0.05 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=GREY, lw=1.2, zorder=1)
    ax.scatter(known, predicted, s=14, color=colour, alpha=0.55, lw=0, zorder=2, clip_on=False)
    ax.set(xlim=ends, ylim=ends, aspect="equal")


def residuals(predictions: pd.DataFrame, title: str, quantity: Quantity = TC) -> Figure:
    """Predicted minus measured Tc, against measured Tc and as a histogram."""
    measured = "measured" if quantity.is_tc else "known"
    difference = f"predicted - {measured}" + (f" ({quantity.unit})" if quantity.unit else "")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[2, 1], sharey=True)
        tc = predictions["tc"].to_numpy()
        error = predictions["tc_pred"].to_numpy() - tc
        left.axhline(0, color=GREY, lw=1.2)
        left.scatter(tc, error, s=14, color=BLUE, alpha=0.55, linewidths=0)
        left.set(xlabel=f"{measured} {quantity.label}", ylabel=difference, title=title)
        right.hist(error, bins=40, orientation="horizontal", color=BLUE)
        right.axhline(float(np.mean(error)), color=RED, lw=1.5)
        right.set(xlabel="materials", title=f"bias {quantity.error(float(np.mean(error)), '+')}")
    return figure


def distributions(sets: Mapping[str, np.ndarray], title: str) -> Figure:
    """One histogram of Tc per set: the share of materials in each bin of a sqrt axis."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.5 * len(sets) + 0.7), layout="constrained")
        axes = figure.subplots(len(sets), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        top = max(10.0, *(float(tc.max()) for tc in sets.values()))
        edges = np.linspace(0, np.sqrt(top), 27) ** 2
        for ax, (name, tc), colour in zip(axes, sets.items(), cycle(PALETTE), strict=False):
            shares = np.full(len(tc), 1 / len(tc))
            ax.hist(np.clip(tc, 0, None), bins=edges, weights=shares, color=colour)
            ax.axvline(float(tc.mean()), color=TEXT_COLOUR, lw=1.2)
            text = f"{name}: {len(tc)} materials, mean {tc.mean():.1f} K, maximum {tc.max():.1f} K"
            ax.text(0.99, 0.92, text, transform=ax.transAxes, ha="right", va="top", fontsize=9)
            ax.yaxis.set_major_formatter("{x:.0%}")
            ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
        ticks = [t for t in TC_TICKS if t <= top]
        axes[0].set_title(title)
        axes[-1].set(xlim=(0, top), xticks=ticks, xlabel="Tc (K)")
        figure.supylabel("share of materials", fontsize=10)
    return figure


def training_curve(
    history: Sequence[EpochRecord],
    baselines: Mapping[str, float],
    title: str,
    quantity: Quantity = TC,
) -> Figure:
    """Validation MAE by epoch with those of baselines as lines, above the training loss."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.4), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        epochs = [r.epoch for r in history]
        top.plot(epochs, [r.val_mae for r in history], color=BLUE, marker="o", ms=3.5)
        best = min(history, key=lambda r: r.val_mae)
        top.scatter([best.epoch], [best.val_mae], s=70, facecolors="none", edgecolors=RED, lw=2)
        top.annotate(
            f"best {quantity.error(best.val_mae)}",
            (best.epoch, best.val_mae),
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
            color=RED,
        )
        for (name, value), dashes in zip(baselines.items(), cycle(("--", ":", "-.")), strict=False):
            top.axhline(
                value, color=GREY, lw=1.5, ls=dashes, label=f"{name} {quantity.error(value)}"
            )
        if baselines:
            top.legend(frameon=False, fontsize=8.5)
        top.margins(x=0.06, y=0.15)
        unit = f" ({quantity.unit})" if quantity.unit else ""
        top.set(ylabel=f"validation MAE{unit}", title=title)
        bottom.plot(epochs, [r.train_loss for r in history], color=TEXT_COLOUR, marker="o", ms=3.5)
        start = " (0: only the head was trained)" if epochs[0] == 0 else ""
        bottom.set(xlabel=f"epoch{start}", ylabel="training loss")
        bottom.xaxis.get_major_locator().set_params(integer=True)
    return figure


def error_by_band(bands: pd.DataFrame, title: str) -> Figure:
    """MAE, bias and number of materials of each band of measured Tc."""
    with matplotlib.rc_context(STYLE):
        figure = _figure(6.4, 4.2)
        ax = figure.axes[0]
        shown = bands[bands["n"] > 0]
        positions = np.arange(len(shown))
        ax.bar(positions - 0.2, shown["mae"], width=0.38, color=BLUE, label="MAE")
        ax.bar(positions + 0.2, shown["bias"], width=0.38, color=RED, label="bias")
        ax.axhline(0, color=TEXT_COLOUR, lw=0.8)
        labels = [f"{band}\nn = {n}" for band, n in zip(shown["band"], shown["n"], strict=True)]
        ax.set_xticks(positions, labels)
        ax.set(ylabel="kelvin", xlabel="measured Tc (K)", title=title)
        ax.legend(frameon=False)
    return figure


def members(worth: pd.DataFrame, title: str) -> Figure:
    """What the test MAE of an ensemble would be without each member, minus what it is."""
    with matplotlib.rc_context(STYLE):
        figure = _figure(6.4, 0.5 * len(worth) + 1.4)
        ax = figure.axes[0]
        if "mae_difference" in worth:
            gain = -worth["mae_difference"].to_numpy()
            reach = np.stack([gain + worth["mae_high"], -worth["mae_low"] - gain])
            ax.errorbar(gain, range(len(worth)), xerr=reach, fmt="o", color=BLUE, capsize=3)
        ax.axvline(0, color=GREY, lw=1.2)
        labels = [f"{row['member']}, {row['mae']:.2f} K alone" for _, row in worth.iterrows()]
        ax.set_yticks(range(len(worth)), labels)
        ax.invert_yaxis()
        ax.margins(y=0.15)
        ax.set(xlabel="change of the test MAE without this member (K)", title=fill(title, 60))
    return figure
