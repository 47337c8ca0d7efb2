"""Layers: the distances between planes of atoms, and the empty slabs between spheres.

A layered crystal has a direction along which its atoms leave slabs empty. All directions normal to
lattice planes are searched that are at least one angstrom apart; others cannot leave wider slabs.
"""

from typing import TYPE_CHECKING

import numpy as np

from supervision.models.structure.descriptors.sites import (
    Sites,
    covalent_radius,
    framework_elements,
    transition_metals,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

MIN_PERIOD_ANGSTROM = 1.0  # of the lattice planes
MAX_PROJECTIONS = 2_000_000  # directions times atoms, 0.5 s; 160 atoms have 400,000
PROJECTIONS_PER_CHUNK = 100_000
FIRST_DIRECTIONS = 32  # in the first chunk; each other has twice as many as that before it

LAYER_QUANTITIES = {
    "plane spacing": "largest distance between adjacent planes of atoms, angstrom; at least 1",
    "mean spacing": "largest mean distance of adjacent planes, weighted by the distance, angstrom; "
    "less than the plane spacing where planes stand in blocks, as in multilayer cuprates",
    "empty slab": "largest thickness of a slab that no covalent sphere enters, angstrom; positive "
    "in van der Waals crystals, the more negative the denser the crystal",
}
PARTS = {
    "": "all atoms",
    "framework ": "framework elements: conducting blocks, whose distance sets the anisotropy of "
    "the superconductor",
    "transition metal ": "transition metals: CuO2 and FeAs planes",
}
LAYERS = {
    f"{part}{name}": f"{text} ({elements})"
    for part, elements in PARTS.items()
    for name, text in LAYER_QUANTITIES.items()
}


def layers(structure: "Structure", sites: Sites) -> dict[str, float]:
    """The values of LAYERS; NaN without such elements."""
    normals = plane_normals(structure.lattice.matrix, MAX_PROJECTIONS // len(sites.occupancy))
    radii = sites.mean_of(covalent_radius())
    parts = (
        np.ones(len(radii), dtype=bool),
        sites.mostly(framework_elements()),
        sites.mostly(transition_metals()),
    )
    distinct = {part.tobytes(): part for part in parts}  # all atoms are often framework elements
    found = {
        name: _layers_of(structure.cart_coords[part], radii[part], normals)
        for name, part in distinct.items()
    }
    values = np.concatenate([found[part.tobytes()] for part in parts])
    return dict(zip(LAYERS, values.tolist(), strict=True))


def plane_normals(matrix: np.ndarray, highest_count: int) -> np.ndarray:
    """The reciprocal lattice vectors [k, 3] of lattice planes in 1 / angstrom, the shortest first.

    One per direction and its opposite, for planes that are at least MIN_PERIOD_ANGSTROM apart, or
    farther in a cell that has more than about ``highest_count`` of them.
    """
    from pymatgen.core import Lattice

    reduced = Lattice(matrix).get_lll_reduced_lattice().matrix
    # A sphere of radius 1 / d in reciprocal space holds 4/3 pi V / d**3 points, half of them
    # opposites.
    volume = abs(np.linalg.det(reduced))
    period = max(MIN_PERIOD_ANGSTROM, (2 / 3 * np.pi * volume / highest_count) ** (1 / 3))
    bounds = np.floor(np.linalg.norm(reduced, axis=1) / period).astype(int)
    grid = np.meshgrid(*(np.arange(-bound, bound + 1) for bound in bounds), indexing="ij")
    index = np.stack(grid, axis=-1).reshape(-1, 3)
    index = index[len(index) // 2 + 1 :]  # the first half holds the opposites, the middle is 0
    index = index[np.gcd.reduce(index, axis=1) == 1]
    normals = index @ np.linalg.inv(reduced).T
    length = np.linalg.norm(normals, axis=1)
    order = np.argsort(length)
    return normals[order[: np.count_nonzero(length <= 1 / period)]]


def _layers_of(xyz: np.ndarray, radii: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The values of LAYER_QUANTITIES [3] for spheres at ``xyz`` [n, 3] with ``radii`` [n].

    Directions with shorter periods d, which are not searched, have spacings of at most d and slabs
    of at most d less the largest diameter. The results are at least these bounds, so they do not
    depend on the cell, which decides what is searched.
    """
    if not len(xyz):
        return np.full(3, np.nan)
    filled = np.array([0, 0, 2 * radii.max()])  # of a period, by the largest sphere
    found = MIN_PERIOD_ANGSTROM - filled
    start, count = 0, FIRST_DIRECTIONS
    while start < len(normals):
        chunk = normals[start : start + count]
        period = 1 / np.linalg.norm(chunk, axis=1)[:, None]
        if (period[0] - filled <= found).all():  # that is the longest period left
            break
        position = chunk @ xyz.T  # [k, n], in periods
        spacing = _spacings(position, period)
        mean = (spacing**2).sum(axis=1) / spacing.sum(axis=1)
        # A slab is between two planes, and no nearer to one than the smallest radius.
        wide = spacing.max(axis=1) - 2 * radii.min() > found[2]
        slab = _slabs(position[wide], radii, period[wide])
        found = np.maximum(found, [spacing.max(), mean.max(), slab.max(initial=-np.inf)])
        start, count = start + count, max(1, min(2 * count, PROJECTIONS_PER_CHUNK // len(xyz)))
    return found


def _spacings(position: np.ndarray, period: np.ndarray) -> np.ndarray:
    """The distances of adjacent planes along each direction, [k, n] in angstrom.

    The sites ``position`` [k, n] project to a circle, whose length ``period`` [k, 1] is that of the
    lattice planes.
    """
    start = np.sort(position - np.floor(position), axis=1)
    before = np.concatenate([start[:, -1:] - 1, start[:, :-1]], axis=1)
    return (start - before) * period


def _slabs(position: np.ndarray, radii: np.ndarray, period: np.ndarray) -> np.ndarray:
    """The empty intervals between spheres along each direction, [k, n] in angstrom.

    The spheres project to intervals on the circle of ``_spacings``. Sorted by start, a gap is
    between the largest end so far and the next start; it is negative where the intervals overlap.
    """
    radius = radii / period  # [k, n]
    start = position - radius
    start -= np.floor(start)
    order = np.arange(len(start))[:, None], np.argsort(start, axis=1)
    start = start[order]
    end = start + 2 * radius[order]
    ends = np.maximum.accumulate(np.concatenate([end - 1, end], axis=1), axis=1)
    return (start - ends[:, len(radii) - 1 : -1]) * period
