"""The one neighbour search, bounded in time and memory before it begins."""

from typing import TYPE_CHECKING

import numpy as np

from supervision.data.cell_checks import check_geometry

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_PAIRS = 2_000_000  # found in all, 300 MB; 1,000 atoms within 5 angstrom have 200,000
MAX_CUBES = 1_000_000  # of the search's grid, whose edges are the radius: 270 MB


def neighbours(
    structure: "Structure",
    radius: float,
    *,
    atoms: np.ndarray | None = None,
    closest: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of an atom and another one, or an image of any, within a radius.

    Args:
        radius: angstrom.
        atoms: [n] indices of the atoms whose neighbours are looked for; None: all.
        closest: angstrom; distances below it are taken as zero.

    Returns indices [m] of atoms and of their neighbours, lattice translations of the latter
    [m, 3], and distances [m] in angstrom. Raises ValueError for what ``check_geometry`` refuses,
    and where the pairs would be more than any crystal's.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    check_geometry(structure)
    matrix, xyz = (
        np.ascontiguousarray(x, dtype=float)
        for x in (structure.lattice.matrix, structure.cart_coords)
    )
    atoms = np.arange(len(xyz)) if atoms is None else atoms
    found, pairs = [], 0
    for some in np.array_split(atoms, _parts(xyz, matrix, radius, len(atoms))):
        centre, j, image, distance = find_points_in_spheres(
            xyz, np.ascontiguousarray(xyz[some]), radius, np.ones(3, dtype=int), matrix, closest
        )
        i = some[centre]
        other = (i != j) | (image != 0).any(axis=1)
        found.append([x[other] for x in (i, j, image.astype(np.int64), distance)])
        pairs += len(found[-1][0])
        if pairs > MAX_PAIRS:
            raise _too_dense(radius)
    i, j, image, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, j, image, distance


def _parts(xyz: np.ndarray, matrix: np.ndarray, radius: float, count: int) -> int:
    """How many searches it takes so that none can find more than MAX_PAIRS."""
    spans = np.ptp(xyz, axis=0) + 2 * radius
    if np.prod(spans / radius + 1) > MAX_CUBES:
        raise ValueError("The cell is too large and oblique for its number of atoms.")
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(matrix), axis=0))  # [3] cells
    images = len(xyz) * np.prod(2 * reach + 1)
    if images > MAX_PAIRS:
        raise _too_dense(radius)
    return max(1, int(np.ceil(count * images / MAX_PAIRS)))


def _too_dense(radius: float) -> ValueError:
    return ValueError(
        f"The atoms have more than {MAX_PAIRS:,} neighbours within {radius:.3g} angstrom: too many "
        "lie too near each other, or too far from all others."
    )
