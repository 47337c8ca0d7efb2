"""One figure of an explanation: contributions, sites, doping series, neighbours and views."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.answer.answer import Answer
from supervision.answer.kelvin import UNKNOWN, kelvin
from supervision.answer.text import interval_text
from supervision.explain.doping import DopingSeries
from supervision.explain.explanation import Explanation
from supervision.runtime.plot_style import (
    BLUE,
    GREY,
    PLAIN_TEXT,
    RED,
    STYLE,
    TEXT_COLOUR,
    set_titles,
)

if TYPE_CHECKING:  # matplotlib writes into the home folder when it is imported
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase, SubFigure

    from supervision.explain.contributions import Contributions
    from supervision.explain.views import ViewHeat

HEADLINE_INCHES = 1.0
PANEL_INCHES = (6.2, 5.8)  # width and height
VIEW_INCHES = 2.9
TITLE_INCHES = 0.25
VIEW_COLUMNS = 6
PAGE_VIEW_COLUMNS = 3  # of a figure that a phone shows, too
HEAT_OPACITY = 0.85  # of the hottest patch
GROUPS_SHOWN = 8  # the others are one bar
LEAST_SHOWN = 0.005  # of a contribution; a smaller one would be shown as 0.00
LEAST_SPAN = 0.5  # of the axis of contributions
TICK_DISTANCE = 0.12  # of the span of the contributions, at least
KELVIN_TICKS = (0, 0.2, 0.5, *range(1, 11), 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150)
FORMULA_WIDTH = 26  # characters
FEW_POINTS = 40  # of a series; more of them are drawn smaller
Draw = Callable[["Axes"], None]


def draw_explanation(found: Explanation) -> "Figure":
    """One figure of all parts; those that are None are left out."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = list(_panels(found).values())
    rows = -(-len(found.views.names) // VIEW_COLUMNS) if found.views else 0
    heights = [HEADLINE_INCHES, *([PANEL_INCHES[1]] if panels else [])]
    heights += [rows * VIEW_INCHES] if rows else []
    with matplotlib.rc_context(STYLE | PLAIN_TEXT):
        size = (max(2, len(panels)) * PANEL_INCHES[0], sum(heights))
        figure = Figure(figsize=size, layout="constrained")
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        _headline(parts[0], found.answer)
        if panels:
            columns = parts[1].subfigures(1, max(2, len(panels)), squeeze=False)[0]
            for column, draw in zip(columns, panels, strict=False):
                draw(column.subplots())
        if found.views:
            _views(parts[-1], found.views, VIEW_COLUMNS)
    return figure


def draw_parts(found: Explanation) -> dict[str, "Figure"]:
    """A figure of each part that there is: ``features``, ``sites``, ``series``, ``views``."""
    import matplotlib
    from matplotlib.figure import Figure

    figures = {}
    with matplotlib.rc_context(STYLE | PLAIN_TEXT):
        for name, draw in _panels(found).items():
            figures[name] = Figure(figsize=PANEL_INCHES, layout="constrained")
            draw(figures[name].subplots())
        if found.views:
            rows = -(-len(found.views.names) // PAGE_VIEW_COLUMNS)
            width = PANEL_INCHES[0]
            size = (width, rows * (width / PAGE_VIEW_COLUMNS + TITLE_INCHES) + TITLE_INCHES)
            figures["views"] = Figure(figsize=size, layout="constrained")
            _views(figures["views"], found.views, PAGE_VIEW_COLUMNS)
    return figures


def _panels(found: Explanation) -> dict[str, Draw]:
    """What draws each part that there is, but for the views."""
    panels: dict[str, Draw] = {}
    if found.contributions:
        panels["features"] = partial(_contributions, found=found.contributions)
    if found.sites:
        from supervision.explain.crystal_drawing import draw_crystal  # it needs torch

        panels["sites"] = partial(draw_crystal, found=found.sites)
    if found.series:
        panels["series"] = partial(_series, answer=found.answer, series=found.series)
    return panels


def _headline(part: "SubFigure", answer: Answer) -> None:
    """Formula and Tc on the left, the nearest known materials on the right."""
    tc = kelvin(answer.tc_kelvin, answer.decimals)
    part.text(0.01, 0.7, f"{answer.formula}   {tc} K", fontsize=18, weight="bold", va="center")
    part.text(0.01, 0.28, "; ".join(confidence(answer)), fontsize=11, va="center")
    if answer.nearest:
        rows = [(n.formula, reported(n.tc_kelvin), f"{n.distance:.3f}") for n in answer.nearest]
        rows = [("nearest known", "Tc (K)", "distance"), *rows]
        table = "\n".join(f"{_cut(name)} {tc:>8} {distance:>9}" for name, tc, distance in rows)
        part.text(0.99, 0.5, table, family="monospace", fontsize=9, va="center", ha="right")


def confidence(answer: Answer) -> list[str]:
    """How sure an answer is, as far as that is known."""
    found = interval_text(answer)
    interval = [f"90% interval {found} K"] if found != UNKNOWN else []
    return [*interval, *([f"domain: {answer.domain}"] if answer.domain else [])]


def reported(tc_kelvin: float) -> str:
    """A measured Tc in kelvin; in the data, 0 says that none was reported."""
    return f"{tc_kelvin:.3g}" if tc_kelvin else "none"


def _cut(formula: str) -> str:
    """A formula in a column of fixed width."""
    shown = formula if len(formula) <= FORMULA_WIDTH else f"{formula[: FORMULA_WIDTH - 1]}…"
    return f"{shown:<{FORMULA_WIDTH}}"


def _contributions(ax: "Axes", found: "Contributions") -> None:
    """A bar for each group of features, from where those above it have led to."""
    bars = _bars(found)
    ends = found.base + np.cumsum([0.0, *(value for _, value, _ in bars)])
    ends[-1] = found.prediction  # with what is too small to be shown
    right: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
    for row, (_, value, _) in enumerate(bars, start=1):
        ax.barh(row, value, left=ends[row - 1], height=0.62, color=RED if value > 0 else BLUE)
        ax.annotate(f"{value:+.2f}", (max(ends[row - 1], ends[row]), row), **right)
    for row, end in enumerate(ends):
        ax.plot([end, end], [row - 0.31, row + 1.31], color=GREY, lw=1, zorder=0)
    for row, end in ((0, ends[0]), (len(ends), ends[-1])):
        ax.scatter(end, row, color=TEXT_COLOUR, s=34, zorder=3)
        ax.annotate(f"{found.kelvin(end):.1f} K", (end, row), weight="bold", **right)
    factor = f"{found.factor:.2f}"
    calibrated = f"\n× {factor} = {found.tc_kelvin:.1f} K" if factor != "1.00" else ""
    named = [f"{group}\n{feature}".rstrip() for group, _, feature in bars]
    labels = ["mean prediction", *named, f"this crystal{calibrated}"]
    ax.set_yticks(range(len(ends) + 1), labels, fontsize=9)
    ax.invert_yaxis()
    _kelvin_axis(ax, found, ends)
    legend = f"contributions in {found.unit}: red raises Tc, blue lowers it"
    set_titles(ax, f"Features: {found.tc_kelvin:.1f} K", legend)


def _bars(found: "Contributions") -> list[tuple[str, float, str]]:
    """Group, contribution, and the feature of the group that contributes most, with its value."""
    groups = list(found.groups.items())
    shown = [(name, value) for name, value in groups[:GROUPS_SHOWN] if abs(value) >= LEAST_SHOWN]
    bars = [(name, value, found.described(found.largest(name, 1)[0])) for name, value in shown]
    others = sum(value for _, value in groups[len(shown) :])
    return [*bars, ("all others", others, "")] if abs(others) >= LEAST_SHOWN else bars


def _kelvin_axis(ax: "Axes", found: "Contributions", ends: np.ndarray) -> None:
    """Kelvin below an axis in target space, where contributions add up."""
    span = max(float(np.ptp(ends)), LEAST_SPAN)
    low, high = ends.min() - 0.1 * span, ends.max() + 0.35 * span  # room for text
    ax.set_xlim(low, high)
    ticks: list[float] = []
    for tc in KELVIN_TICKS:
        position = found.position(tc)
        apart = not ticks or position - found.position(ticks[-1]) >= TICK_DISTANCE * span
        if low <= position <= high and apart:
            ticks.append(tc)
    ax.set_xticks([found.position(tc) for tc in ticks], [f"{tc:g}" for tc in ticks])
    ax.set_xlabel("predicted Tc (K)")


def _series(ax: "Axes", answer: Answer, series: DopingSeries) -> None:
    """Measured and predicted Tc of each material, and of the crystal."""
    x, measured, predicted = np.array([p[1:] for p in series.points]).T
    has_tc, size = measured > 0, 38 if len(x) <= FEW_POINTS else 14
    ax.vlines(x, measured, predicted, color=GREY, lw=0.8, zorder=1)
    dots: dict[str, Any] = {"s": size, "color": TEXT_COLOUR, "zorder": 3}
    ax.scatter(x[has_tc], measured[has_tc], label="measured", **dots)
    if not has_tc.all():
        none = np.zeros((~has_tc).sum())
        ax.scatter(x[~has_tc], none, marker="x", lw=1.2, label="no Tc reported", **dots)
    if np.isfinite(predicted).any():
        ring: dict[str, Any] = {"facecolor": "white", "edgecolor": BLUE, "lw": 1.3, "zorder": 2}
        ax.scatter(x, predicted, s=size, label="predicted", **ring)
    tc = answer.tc_kelvin
    reach = np.maximum([[tc - answer.tc_lower], [answer.tc_upper - tc]], 0)
    red: dict[str, Any] = {"color": RED, "fmt": "D", "ms": 7, "capsize": 3, "zorder": 4}
    label = "; ".join(["this crystal", *confidence(answer)[:1]])
    ax.errorbar(series.fraction, tc, yerr=reach, label=label, **red)
    highest = np.nanmax([*measured, *predicted, tc])
    ax.set(xlabel=f"atomic fraction of {series.element}", ylabel="Tc (K)")
    ax.set_ylim(-0.03 * highest - 0.1, 1.3 * highest + 1)
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    set_titles(ax, "Doping series", f"{len(x)} materials that the model has learned from")


def _views(part: "FigureBase", found: "ViewHeat", columns: int) -> None:
    """Each view in grey, with its heat map over it, on a scale of its own."""
    axes = part.subplots(-(-len(found.names) // columns), columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    views = zip(found.names, found.images, found.heat, found.tc_kelvin, strict=True)
    for ax, (name, image, heat, tc) in zip(axes, views, strict=False):
        frame, heat = (0, image.shape[1], image.shape[0], 0), heat / (heat.max() or 1.0)
        ax.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=frame)
        ax.imshow(heat, cmap="autumn", vmin=0, vmax=1, alpha=HEAT_OPACITY * heat, extent=frame)
        ax.set_title(f"{name}  {tc:.1f} K", fontsize=9, weight="normal")
    legend = "yellow patches raise Tc most, red ones less"
    title: dict[str, Any] = {"fontsize": 10, "x": 0.01, "ha": "left"}
    part.suptitle(f"Views: {found.tc_kelvin.mean():.1f} K ({legend})", **title)
