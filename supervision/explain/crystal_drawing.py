"""A unit cell whose atoms are coloured by what their sites are worth to the Tc."""

from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.explain.sites import Orbit, SiteWorth
from supervision.models.vision.render import (
    DISK_TO_ATOMIC_RADIUS,
    tile_supercell,
    view_rotation,
)
from supervision.models.vision.scene import build_scene, structure_sites
from supervision.models.vision.views import View
from supervision.runtime.plot_style import BLUE, GREY, RED, TEXT_COLOUR, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEW = View((1, 1, 1), "a")  # c is up, as layers are drawn
TURN_DEGREES, TILT_DEGREES = -25, 10  # away from a, so that atoms behind others are seen
ORBITS_SHOWN = 8
STEP = 0.01  # of depth in angstrom, between what is drawn at one place
DARK = 0.6  # mean of red, green and blue, of 1; below it, text is white
SYMBOL_POINTS = 7.5
SYMBOLS_AT_MOST = 120  # of atoms; those of more would hide each other
LEAST_SCALE_KELVIN = 1e-3  # of colours; smaller worths are rounding
CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def draw_crystal(ax: "Axes", found: SiteWorth) -> None:
    """Draw the cell: atoms red where the site raises Tc, blue where it lowers it."""
    from matplotlib.colors import LinearSegmentedColormap

    limit = max(LEAST_SCALE_KELVIN, np.abs(found.kelvin).max())
    shades = LinearSegmentedColormap.from_list("worth", [BLUE, "white", RED])
    colours = shades((found.kelvin / limit + 1) / 2)  # [n, 4] of the structure's sites
    scene = build_scene(found.structure)
    site, cell, bonds = tile_supercell(scene, VIEW.repeats)
    frame = _tilt() @ view_rotation(scene, VIEW)
    xyz = (scene.frac[site] + cell) @ scene.lattice @ frame.T  # right, up, nearer
    of_structure = structure_sites(scene, found.structure)[site]
    _outline(ax, scene.lattice @ frame.T)
    _bonds(ax, xyz, bonds)
    _atoms(ax, xyz, scene.radius[site], colours[of_structure])
    if len(site) <= SYMBOLS_AT_MOST:
        _symbols(ax, xyz, _symbols_of(found)[of_structure], colours[of_structure])
    _key(ax, found, colours)
    ax.set(aspect="equal")
    ax.set_axis_off()
    ax.margins(0.05)
    set_titles(ax, f"Sites: {found.tc_kelvin:.1f} K", "red raises Tc, blue lowers it")


def _atoms(ax: "Axes", xyz: np.ndarray, radius: np.ndarray, colours: np.ndarray) -> None:
    """Disks at ``xyz`` [m, 3], with ``colours`` ``[m, 4]``."""
    from matplotlib.patches import Circle

    sizes = DISK_TO_ATOMIC_RADIUS * radius
    for (x, y, depth), size, colour in zip(xyz, sizes, colours, strict=True):
        style: dict[str, Any] = {"facecolor": colour, "edgecolor": TEXT_COLOUR, "lw": 0.8}
        ax.add_patch(Circle((x, y), size, zorder=depth, **style))


def _symbols(ax: "Axes", xyz: np.ndarray, symbols: np.ndarray, colours: np.ndarray) -> None:
    """What is on the atoms at ``xyz`` [m, 3], just above their disks."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SYMBOL_POINTS}
    for (x, y, depth), symbol, colour in zip(xyz, symbols, colours, strict=True):
        shade = "white" if colour[:3].mean() < DARK else TEXT_COLOUR
        ax.text(x, y, symbol, zorder=depth + STEP, clip_on=True, color=shade, **style)


def _symbols_of(found: SiteWorth) -> np.ndarray:
    """The main element of each site, and its number if several orbits have it, [n]."""
    symbols = np.empty(len(found.orbit), dtype=object)
    for orbit in found.orbits:
        symbols[orbit.sites] = f"{orbit.main}{orbit.number or ''}"
    return symbols


def _bonds(ax: "Axes", xyz: np.ndarray, bonds: np.ndarray) -> None:
    """Each half behind its own atom, so that the nearer one hides the other's."""
    for pair in bonds:
        middle = xyz[pair].mean(axis=0)
        for atom in xyz[pair]:
            x, y, _ = np.stack([atom, middle]).T
            ax.plot(x, y, color=GREY, lw=1.8, zorder=atom[2] - STEP, solid_capstyle="butt")


def _tilt() -> np.ndarray:
    """The rotation about the axis upwards, then about that to the right."""
    (s, t), (c, d) = (f(np.radians([TURN_DEGREES, TILT_DEGREES])) for f in (np.sin, np.cos))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[1, 0, 0], [0, d, -t], [0, t, d]]) @ turn


def _outline(ax: "Axes", lattice: np.ndarray) -> None:
    """The edges of the cell, behind the atoms at their ends."""
    for axis in range(3):
        for start in CORNERS[CORNERS[:, axis] == 0]:
            x, y, depth = (np.stack([start, start + np.eye(3)[axis]]) @ lattice).T
            ax.plot(x, y, color=TEXT_COLOUR, lw=0.8, alpha=0.5, zorder=depth.min() - 2 * STEP)


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
