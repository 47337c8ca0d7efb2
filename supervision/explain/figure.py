"""One figure of an explanation: contributions, sites, doping series, neighbours and views."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.answer.answer import Answer
from supervision.answer.kelvin import UNKNOWN, kelvin
from supervision.explain.contributions import Contributions
from supervision.explain.crystal_drawing import draw_crystal
from supervision.explain.doping import DopingSeries
from supervision.explain.explanation import Explanation
from supervision.explain.views import ViewHeat
from supervision.runtime.plot_style import BLUE, GREY, RED, STYLE, TEXT_COLOUR

if TYPE_CHECKING:  # matplotlib writes into the home folder when it is imported
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

HEADLINE_INCHES = 1.0
PANEL_INCHES = (5.6, 5.6)  # width and height
VIEW_INCHES = 2.9
VIEW_COLUMNS = 6
HEAT_OPACITY = 0.85  # of the hottest patch
GROUPS_SHOWN = 8  # the others are one bar
LEAST_SHOWN = 0.005  # of a contribution; a smaller one would be shown as 0.00
LEAST_SPAN = 0.5  # of the axis of contributions
KELVIN_TICKS = (0, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100, 130)


def draw_explanation(found: Explanation) -> "Figure":
    """The figure; parts that are None are left out."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = _panels(found)
    rows = -(-len(found.views.names) // VIEW_COLUMNS) if found.views else 0
    heights = [HEADLINE_INCHES, PANEL_INCHES[1], *([rows * VIEW_INCHES] if rows else [])]
    with matplotlib.rc_context(STYLE):
        size = (max(2, len(panels)) * PANEL_INCHES[0], sum(heights))
        figure = Figure(figsize=size, layout="constrained")
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        _headline(parts[0], found.answer)
        columns = parts[1].subfigures(1, max(2, len(panels)), squeeze=False)[0]
        for column, draw in zip(columns, panels, strict=False):
            draw(column.subplots())
        if found.views:
            _views(parts[2], found.views, rows)
    return figure


def _panels(found: Explanation) -> list[Callable[["Axes"], None]]:
    """What draws each part that there is."""
    panels: list[Callable[[Axes], None]] = []
    if found.contributions:
        panels.append(partial(_contributions, found=found.contributions))
    if found.sites:
        panels.append(partial(draw_crystal, found=found.sites))
    if found.series:
        panels.append(partial(_series, answer=found.answer, series=found.series))
    return panels


def _headline(part: "SubFigure", answer: Answer) -> None:
    """Formula and Tc on the left, the nearest known materials on the right."""
    low, tc, high = (
        kelvin(t, answer.decimals) for t in (answer.tc_lower, answer.tc_kelvin, answer.tc_upper)
    )
    part.text(0.01, 0.7, f"{answer.formula}   {tc} K", fontsize=18, weight="bold", va="center")
    text = f"90% interval {low} to {high} K; domain: {answer.domain or UNKNOWN}"
    part.text(0.01, 0.28, text, fontsize=11, va="center")
    rows = [f"{n.formula:<26.26} {n.tc_kelvin:>8.3g} {n.distance:>9.3f}" for n in answer.nearest]
    table = "\n".join([f"{'nearest known':<26} {'Tc (K)':>8} {'distance':>9}", *rows])
    part.text(0.99, 0.5, table, family="monospace", fontsize=9, va="center", ha="right")


def _contributions(ax: "Axes", found: Contributions) -> None:
    """A bar for each group of features, from where those above it have led to."""
    bars = _bars(found)
    ends = found.base + np.cumsum([0.0, *(value for _, value, _ in bars)])
    ends[-1] = found.prediction  # with what is too small to be shown
    right: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
    right["in_layout"] = False  # else long texts make the axes narrow
    for row, (_, value, feature) in enumerate(bars, start=1):
        ax.barh(row, value, left=ends[row - 1], height=0.62, color=RED if value > 0 else BLUE)
        far = max(ends[row - 1], ends[row])
        ax.annotate(f"{value:+.2f}  {feature}", (far, row), fontsize=8, **right)
    for row, end in enumerate(ends):
        ax.plot([end, end], [row - 0.31, row + 1.31], color=GREY, lw=1, zorder=0)
    for row, end in ((0, ends[0]), (len(ends), ends[-1])):
        ax.scatter(end, row, color=TEXT_COLOUR, s=34, zorder=3)
        ax.annotate(f"{found.kelvin(end):.1f} K", (end, row), weight="bold", **right)
    factor = f"{found.factor:.2f}"
    calibrated = f"\n× {factor} = {found.tc_kelvin:.1f} K" if factor != "1.00" else ""
    labels = ["mean of the training", *(name for name, *_ in bars), f"prediction{calibrated}"]
    ax.set_yticks(range(len(ends) + 1), labels)
    ax.invert_yaxis()
    _kelvin_axis(ax, found, ends)
    ax.set_title(f"Features: trees, contributions in {found.unit}")


def _bars(found: Contributions) -> list[tuple[str, float, str]]:
    """Group, contribution, and the feature of the group that contributes most, with its value."""
    groups = list(found.groups.items())
    shown = [(name, value) for name, value in groups[:GROUPS_SHOWN] if abs(value) >= LEAST_SHOWN]
    bars = [(name, value, found.described(found.largest(name, 1)[0])) for name, value in shown]
    others = sum(value for _, value in groups[len(shown) :])
    return [*bars, ("all others", others, "")] if abs(others) >= LEAST_SHOWN else bars


def _kelvin_axis(ax: "Axes", found: Contributions, ends: np.ndarray) -> None:
    """Kelvin below an axis in target space, where contributions add up."""
    low, high = ends.min(), ends.max()
    span = max(high - low, LEAST_SPAN)
    ax.set_xlim(low - 0.1 * span, high + span)  # room for text
    ticks: list[float] = []
    for tc in KELVIN_TICKS:
        position = found.position(tc)
        apart = not ticks or position - found.position(ticks[-1]) >= 0.12 * span
        if low - 0.1 * span <= position <= high + 0.2 * span and apart:
            ticks.append(tc)
    ax.set_xticks([found.position(tc) for tc in ticks], [f"{tc:g}" for tc in ticks])
    ax.set_xlabel("predicted Tc (K)")


def _series(ax: "Axes", answer: Answer, series: DopingSeries) -> None:
    """Measured and predicted Tc of each material, and of the crystal."""
    x, measured, predicted = np.array([p[1:] for p in series.points]).T
    ax.vlines(x, measured, predicted, color=GREY, lw=1, zorder=1)
    ax.scatter(x, measured, s=38, color=TEXT_COLOUR, zorder=3, label="measured")
    ax.scatter(
        x, predicted, s=38, facecolor="white", edgecolor=BLUE, lw=1.5, zorder=2, label="predicted"
    )
    tc = answer.tc_kelvin
    reach = np.maximum([[tc - answer.tc_lower], [answer.tc_upper - tc]], 0)
    red: dict[str, Any] = {"color": RED, "fmt": "D", "ms": 7, "capsize": 3, "zorder": 4}
    ax.errorbar(series.fraction, tc, yerr=reach, label="this crystal, 90%", **red)
    highest = np.nanmax([*measured, *predicted, tc])
    ax.set(xlabel=f"atomic fraction of {series.element}", ylabel="Tc (K)")
    ax.set_ylim(-0.03 * highest - 0.1, 1.3 * highest + 1)
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
    ax.set_title("Doping series: materials that were learned from")


def _views(part: "SubFigure", found: ViewHeat, rows: int) -> None:
    """Each view in grey, with its heat map over it, on a scale of its own."""
    axes = part.subplots(rows, VIEW_COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    views = zip(found.names, found.images, found.heat, found.tc_kelvin, strict=True)
    for ax, (name, image, heat, tc) in zip(axes, views, strict=False):
        frame, heat = (0, image.shape[1], image.shape[0], 0), heat / (heat.max() or 1.0)
        ax.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=frame)
        ax.imshow(heat, cmap="autumn", vmin=0, vmax=1, alpha=HEAT_OPACITY * heat, extent=frame)
        ax.set_title(f"{name}  {tc:.1f} K", fontsize=9, weight="normal")
    title: dict[str, Any] = {"fontsize": 11, "weight": "bold", "x": 0.01, "ha": "left"}
    part.suptitle("Views: vision model, patches that raise Tc", **title)
