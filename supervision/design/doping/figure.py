"""Tc over the fractions of dopants as a figure: a curve of one dopant, a heat map of two."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.answer.calibration import LEVEL
from supervision.answer.domain import DOMAIN_COLOURS, DOMAINS, KNOWN_DISTANCE
from supervision.data.crystals import parse_formula
from supervision.data.splits import APART
from supervision.data.substitution import Substitution
from supervision.design.doping.curve import Doping, MeasuredPoint
from supervision.design.doping.report import places, unsupported
from supervision.runtime.plot_style import BLUE, PLAIN_TEXT, RED, STYLE, TEXT_COLOUR, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_INCHES, MAP_INCHES = (8.4, 5.6), (8.4, 6.6)
SHADE = 0.13  # opacity of a domain
STRIP, BELOW_ZERO = 0.025, 0.06  # of the axis: the strip of domains, and what is below 0 K
WIDE = 0.15  # of the axis; a stretch without support that is as wide is named in the plot
MAP_COLOURS = ("#f4f7fa", "#9fc3da", BLUE, "#0d2b45")  # from 0 K to the highest Tc


def doping_figure(found: Doping) -> "Figure":
    """The figure of a doping."""
    import matplotlib  # a library that writes a cache when it is imported
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | PLAIN_TEXT):
        figure = Figure(figsize=MAP_INCHES if found.is_map else CURVE_INCHES, layout="constrained")
        ax = figure.subplots()
        (_map if found.is_map else _curve)(ax, found)
        figure.legend(frameon=False, fontsize=9, ncols=4, loc="outside lower center")
        pairs = ", ".join(f"{pair.dopant} for {pair.host}" for pair in found.substitutions)
        set_titles(ax, f"{found.undoped}: {pairs}", _support(found))
    return figure


def _support(found: Doping) -> str:
    """Where the model has no support, as a line below the title."""
    if not found.has_known:
        return "the model carries no known materials: its support is not known"
    without = unsupported(found)
    if not any(without):
        return f"every point has a measured material within {APART} in composition"
    return f"no support at {places(found, without)}: no measured material within {APART}"


# --- a curve


def _curve(ax: "Axes", found: Doping) -> None:
    x = found.axes[0]
    low, high = (
        np.array([getattr(point.answer, name) for point in found.points])
        for name in ("tc_lower", "tc_upper")
    )
    _shade(ax, found)
    ax.fill_between(x, low, high, color=BLUE, alpha=0.22, lw=0, label=f"{LEVEL:.0%} interval")
    tc = np.array([point.answer.tc_kelvin for point in found.points])
    top = np.nanmax([*tc, *high, *(m.tc_kelvin for m in found.measured), 1.0])
    ax.set(xlim=(0, x[-1]), ylim=(-BELOW_ZERO * top, 1.06 * top), ylabel="Tc (K)")
    _predicted(ax, found, tc)
    _measured(ax, found)
    (own,) = found.own
    if 0 < own <= x[-1]:
        ax.axvline(own, color=TEXT_COLOUR, lw=1, ls=":", label="the crystal that was given")
    (pair,) = found.substitutions
    ax.set_xlabel(_axis_label(pair))
    _amounts_axis(ax, found, pair)


def _shade(ax: "Axes", found: Doping) -> None:
    """The domains behind the curve."""
    labelled = set()
    for name, low, high in _stretches(found, [point.answer.domain for point in found.points]):
        if name in DOMAIN_COLOURS:
            colour: dict[str, Any] = {"color": DOMAIN_COLOURS[name], "lw": 0, "zorder": 0}
            ax.axvspan(low, high, alpha=SHADE, **colour)
            label = None if name in labelled else f"domain: {name}"
            ax.axvspan(low, high, ymax=STRIP, label=label, **colour)
            labelled.add(name)


def _predicted(ax: "Axes", found: Doping, tc: np.ndarray) -> None:
    """The curve; dashes where the model has no support."""
    x = found.axes[0]
    without = np.array(unsupported(found)) & found.has_known
    joined = without | np.r_[without[1:], False] | np.r_[False, without[:-1]]
    ax.plot(x, np.where(without, np.nan, tc), color=BLUE, lw=2, label="predicted")
    if without.any():
        ax.plot(
            x, np.where(joined, tc, np.nan), color=BLUE, lw=2, ls=(0, (1.5, 1)), zorder=1.9,
            label="predicted, no support",
        )  # fmt: skip
    for is_without, low, high in _stretches(found, without.tolist()):
        if is_without and high - low >= WIDE * x[-1]:
            place: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "ha": "center"}
            box = {"facecolor": "white", "lw": 0, "alpha": 0.7}
            ax.text((low + high) / 2, 0.93, "no support", weight="bold", bbox=box, **place)


def _measured(ax: "Axes", found: Doping) -> None:
    """Measured materials: filled on the curve, open beside it, a cross where no Tc was reported."""
    groups: dict[str, tuple[list[MeasuredPoint], dict[str, Any]]] = {
        "measured": (
            [m for m in found.measured if m.tc_kelvin and m.is_exact],
            {"facecolor": RED, "edgecolor": RED, "zorder": 4},
        ),
        f"measured, within {KNOWN_DISTANCE}": (
            [m for m in found.measured if m.tc_kelvin and not m.is_exact],
            {"facecolor": "white", "edgecolor": RED, "zorder": 3},
        ),
        "measured, no Tc reported": (
            [m for m in found.measured if not m.tc_kelvin],
            {"color": RED, "marker": "x", "zorder": 3},
        ),
    }
    for label, (shown, style) in groups.items():
        if shown:
            fractions, tc = [m.fractions[0] for m in shown], [m.tc_kelvin for m in shown]
            ax.scatter(fractions, tc, s=20, lw=1, clip_on=False, label=label, **style)


def _stretches(found: Doping, values: Sequence[Any]) -> Iterator[tuple[Any, float, float]]:
    """Each run of equal values, and from where to where it is: to the middle between points."""
    x = found.axes[0]
    edges = np.concatenate([[x[0]], (x[1:] + x[:-1]) / 2, [x[-1]]])
    for value, run in groupby(range(len(x)), key=lambda i: values[i]):
        numbers = list(run)
        yield value, float(edges[numbers[0]]), float(edges[numbers[-1] + 1])


def _axis_label(pair: Substitution) -> str:
    return f"fraction of {pair.dopant} on the sites of {pair.host}"


def _amounts_axis(ax: "Axes", found: Doping, pair: Substitution) -> None:
    """A second axis with the dopant per formula unit, where that is not the fraction."""
    count = parse_formula(found.undoped)[pair.host]
    if abs(count - 1) > 1e-6:
        functions: Any = (lambda x: x * count, lambda x: x / count)
        below = ax.secondary_xaxis(-0.15, functions)
        below.set_xlabel(f"{pair.dopant} in place of {pair.host} in {found.undoped}")


# --- a map


def _map(ax: "Axes", found: Doping) -> None:
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    x, y = found.axes
    tc = found.grid([point.answer.tc_kelvin for point in found.points])
    highest = np.nanmax([np.nanmax(tc), *(one.tc_kelvin for one in found.measured), 1.0])
    shades = LinearSegmentedColormap.from_list("tc", MAP_COLOURS)
    scale: dict[str, Any] = {"cmap": shades, "norm": Normalize(0, highest)}
    mesh = ax.pcolormesh(x, y, tc.T, shading="nearest", **scale)
    ax.figure.colorbar(mesh, ax=ax, label="Tc (K)", fraction=0.04, pad=0.02)
    _domain_borders(ax, found)
    _measured_on_map(ax, found, scale)
    star: dict[str, Any] = {"color": RED, "mec": "white", "ms": 15, "ls": "", "zorder": 6}
    ax.plot(*found.highest.fractions, "*", label="highest predicted", **star)
    ax.set(xlabel=_axis_label(found.substitutions[0]), ylabel=_axis_label(found.substitutions[1]))


def _measured_on_map(ax: "Axes", found: Doping, scale: dict[str, Any]) -> None:
    """Measured Tc in the colours of the map, those beside it smaller and below the others."""
    for has_tc, label in ((True, "measured"), (False, "measured, no Tc reported")):
        shown = [m for m in found.measured if (m.tc_kelvin > 0) == has_tc]
        shown.sort(key=lambda m: m.is_exact)
        if shown:
            x, y = np.array([m.fractions for m in shown]).T
            style = {"c": [m.tc_kelvin for m in shown], "edgecolor": RED} | scale
            size = [36 if m.is_exact else 14 for m in shown]
            ax.scatter(
                x, y, size, lw=1.2, clip_on=False, zorder=3, label=label,
                **(style if has_tc else {"color": RED, "marker": "x"}),
            )  # fmt: skip


def _domain_borders(ax: "Axes", found: Doping) -> None:
    """Lines between the cells of different domains, and a name in the widest place of each."""
    from matplotlib.collections import LineCollection
    from scipy.ndimage import distance_transform_edt

    names = found.grid([point.answer.domain for point in found.points])
    x, y = (np.concatenate([[1.5 * a[0] - 0.5 * a[1]], (a[1:] + a[:-1]) / 2,
                            [1.5 * a[-1] - 0.5 * a[-2]]]) for a in found.axes)  # fmt: skip
    lines = [
        [(x[i + 1], y[j]), (x[i + 1], y[j + 1])]
        for i, j in np.argwhere(names[1:] != names[:-1]).tolist()
    ] + [
        [(x[i], y[j + 1]), (x[i + 1], y[j + 1])]
        for i, j in np.argwhere(names[:, 1:] != names[:, :-1]).tolist()
    ]
    ax.add_collection(LineCollection(lines, colors="white", linewidths=3, capstyle="round"))
    ax.add_collection(LineCollection(lines, colors=TEXT_COLOUR, linewidths=1.2, capstyle="round"))
    for name in DOMAINS:
        inside = np.pad(names == name, 1)
        if inside.any():
            depth = distance_transform_edt(inside)[1:-1, 1:-1]
            i, j = np.unravel_index(depth.argmax(), depth.shape)
            box = {"facecolor": DOMAIN_COLOURS[name], "edgecolor": "white", "boxstyle": "round"}
            place = float(found.axes[0][i]), float(found.axes[1][j])
            ax.text(*place, name, color="white", ha="center", va="center", bbox=box, zorder=5)
