"""A unit cell as a figure: atoms as disks with the symbols of their elements, bonds, edges."""

from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.models.vision.render import (
    DISK_TO_ATOMIC_RADIUS,
    tile_supercell,
    view_rotation,
)
from supervision.models.vision.scene import build_scene, structure_sites
from supervision.models.vision.views import View
from supervision.runtime.plot_style import GREY, TEXT_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pymatgen.core import Structure

VIEW = View((1, 1, 1), "a")  # c is up, as layers are drawn
TURN_DEGREES, TILT_DEGREES = -25, 10  # away from a, so that atoms behind others are seen
STEP = 0.01  # of depth in angstrom, between what is drawn at one place
DARK = 0.6  # mean of red, green and blue, of 1; below it, text is white
SYMBOL_POINTS = 7.5
SYMBOLS_AT_MOST = 120  # of atoms; those of more would hide each other
CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def draw_cell(ax: "Axes", structure: "Structure", colours: np.ndarray, symbols: np.ndarray) -> None:
    """Draw the cell of a structure.

    Args:
        colours: of its sites, red, green, blue and opacity from 0 to 1, ``[n, 4]``.
        symbols: what is written on its sites, [n].
    """
    scene = build_scene(structure)
    site, cell, bonds = tile_supercell(scene, VIEW.repeats)
    frame = _tilt() @ view_rotation(scene, VIEW)
    xyz = (scene.frac[site] + cell) @ scene.lattice @ frame.T  # right, up, nearer
    of_structure = structure_sites(scene, structure)[site]
    _outline(ax, scene.lattice @ frame.T)
    _bonds(ax, xyz, bonds)
    _atoms(ax, xyz, scene.radius[site], colours[of_structure])
    if len(site) <= SYMBOLS_AT_MOST:
        _symbols(ax, xyz, symbols[of_structure], colours[of_structure])
    ax.set(aspect="equal")
    ax.set_axis_off()
    ax.margins(0.05)


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
