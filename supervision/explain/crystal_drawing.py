"""A unit cell whose atoms are coloured by what their sites are worth to the Tc."""

from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.explain.cell_drawing import draw_cell
from supervision.explain.sites import Orbit, SiteWorth
from supervision.runtime.plot_style import BLUE, RED, TEXT_COLOUR, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORBITS_SHOWN = 8
LEAST_SCALE_KELVIN = 1e-3  # of colours; smaller worths are rounding


def draw_crystal(ax: "Axes", found: SiteWorth) -> None:
    """Draw the cell: atoms red where the site raises Tc, blue where it lowers it."""
    from matplotlib.colors import LinearSegmentedColormap

    limit = max(LEAST_SCALE_KELVIN, np.abs(found.kelvin).max())
    shades = LinearSegmentedColormap.from_list("worth", [BLUE, "white", RED])
    colours = shades((found.kelvin / limit + 1) / 2)  # [n, 4] of the structure's sites
    draw_cell(ax, found.structure, colours, _symbols_of(found))
    _key(ax, found, colours)
    set_titles(ax, f"Sites: {found.tc_kelvin:.1f} K", "red raises Tc, blue lowers it")


def _symbols_of(found: SiteWorth) -> np.ndarray:
    """The main element of each site, and its number if several orbits have it, [n]."""
    symbols = np.empty(len(found.orbit), dtype=object)
    for orbit in found.orbits:
        symbols[orbit.sites] = f"{orbit.main}{orbit.number or ''}"
    return symbols


def _key(ax: "Axes", found: SiteWorth, colours: np.ndarray) -> None:
    """The orbits that are worth most: number of sites, species, worth."""
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "ls": "", "ms": 9, "markeredgecolor": TEXT_COLOUR}
    handles = [
        Line2D([], [], markerfacecolor=colours[orbit.sites[0]], label=_line(orbit), **dot)
        for orbit in found.orbits[:ORBITS_SHOWN]
    ]
    hidden = len(found.orbits) - len(handles)
    more = f"; {hidden} more worth less" if hidden else ""
    ax.legend(
        handles=handles, title=f"Tc less Tc with average atoms there{more}", loc="upper center",
        bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False, fontsize=9, title_fontsize=9,
    )  # fmt: skip


def _line(orbit: Orbit) -> str:
    return f"{len(orbit.sites)} × {orbit.label}  {orbit.kelvin:+.1f} K"
