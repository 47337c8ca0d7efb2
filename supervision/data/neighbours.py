"""Periodic neighbour search, with bounds on time and memory that are checked in advance."""

from typing import TYPE_CHECKING

import numpy as np

from supervision.data.cell_checks import check_geometry

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_PAIRS = 2_000_000  # in total, 300 MB; 1,000 atoms have 200,000 pairs within 5 angstrom
MAX_GRID_CELLS = 1_000_000  # of the search grid with the radius as edge, 270 MB


def neighbours(
    structure: "Structure",
    radius: float,
    *,
    atoms: np.ndarray | None = None,
    tolerance: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of an atom and a neighbour within a radius, periodic images included.

    Args:
        radius: in angstrom.
        atoms: indices [n] of the atoms whose neighbours are searched; None for all.
        tolerance: in angstrom; distances below it count as zero.

    Returns the indices of the atoms [m] and of their neighbours [m], the lattice translations of
    the neighbours [m, 3] and the distances [m] in angstrom. Raises ValueError for a structure that
    ``check_geometry`` refuses, or if there are more than MAX_PAIRS pairs.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    check_geometry(structure)
    matrix, xyz = (
        np.ascontiguousarray(x, dtype=float)
        for x in (structure.lattice.matrix, structure.cart_coords)
    )
    atoms = np.arange(len(xyz)) if atoms is None else atoms
    found, pairs = [], 0
    for chunk in np.array_split(atoms, _search_count(xyz, matrix, radius, len(atoms))):
        centre, j, image, distance = find_points_in_spheres(
            xyz, np.ascontiguousarray(xyz[chunk]), radius, np.ones(3, dtype=int), matrix, tolerance
        )
        i = chunk[centre]
        other = (i != j) | (image != 0).any(axis=1)
        found.append([x[other] for x in (i, j, image.astype(np.int64), distance)])
        pairs += len(found[-1][0])
        if pairs > MAX_PAIRS:
            raise _too_dense(radius)
    i, j, image, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, image, distance


def _search_count(xyz: np.ndarray, matrix: np.ndarray, radius: float, count: int) -> int:
    """The number of searches into which to divide the atoms, so that none exceeds MAX_PAIRS."""
    spans = np.ptp(xyz, axis=0) + 2 * radius
    if np.prod(spans / radius + 1) > MAX_GRID_CELLS:
        raise ValueError("The cell is too large or too oblique for a neighbour search.")
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(matrix), axis=0))  # [3] cells
    images = len(xyz) * np.prod(2 * reach + 1)
    if images > MAX_PAIRS:
        raise _too_dense(radius)
    return max(1, int(np.ceil(count * images / MAX_PAIRS)))


def _too_dense(radius: float) -> ValueError:
    return ValueError(
        f"The atoms have more than {MAX_PAIRS:,} neighbours within {radius:.3g} angstrom: they are "
        "too close to each other, or one is too far from all others."
    )
