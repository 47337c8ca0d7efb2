"""The Voronoi cell of an atom: which part of its surroundings each neighbour takes.

The solid angle of a face of the cell measures how much of the surroundings a neighbour takes
(O'Keeffe, Acta Cryst. A35, 772, 1979). It needs no cutoff and no radii, and it is continuous: the
face of a neighbour that moves away becomes small before it is gone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

MIN_OFFSET = 1e-9  # of a hull facet over the largest dual point; below it the cell is open


@dataclass(frozen=True, eq=False)
class VoronoiCell:
    """The points that are closer to an atom than to its neighbours.

    Attributes:
        share: [k] solid angle of the face of each neighbour over 4 pi; their sum is 1.
        volume: in cubic angstrom.
        radius: distance of the farthest corner in angstrom. Only atoms within twice this distance
            shape the cell.
    """

    share: np.ndarray
    volume: float
    radius: float


def voronoi_cell(vectors: np.ndarray) -> VoronoiCell | None:
    """The cell of an atom at the origin with neighbours at ``vectors`` [k, 3] in angstrom.

    Returns None if the neighbours do not enclose the atom. The corners of the cell are dual to the
    facets of the convex hull of the points ``2 v / v**2``: a facet with the outward unit normal a
    at the distance b from the origin gives the corner a / b (Brown, Inf. Process. Lett. 9, 223,
    1979).
    """
    points = 2 * vectors / (vectors**2).sum(axis=1, keepdims=True)
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):  # fewer than four neighbours, or all in one plane
        return None
    normal, offset = hull.equations[:, :3], -hull.equations[:, 3]
    if offset.min() <= MIN_OFFSET * np.abs(points).max():
        return None
    corners = normal / offset[:, None]  # [f, 3]
    simplices, across = _counterclockwise(hull, points)
    # Around the vertex p of a facet p q r, the next corner is the facet across the edge p r.
    neighbour = simplices.ravel()  # [3 f]
    triangles = (
        vectors[neighbour] / 2,  # the foot of the perpendicular
        np.repeat(corners, 3, axis=0),
        corners[across[:, [1, 2, 0]].ravel()],
    )
    angle, volume = _solid_angles_and_volumes(*triangles)
    share = np.bincount(neighbour, angle, len(vectors)) / (4 * np.pi)
    return VoronoiCell(share, float(volume.sum()), float(np.linalg.norm(corners, axis=1).max()))


def _counterclockwise(hull: ConvexHull, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices [f, 3] of each facet, counter-clockwise from outside, and the facets [f, 3]
    across the opposite edges.
    """
    clockwise = np.linalg.det(points[hull.simplices]) < 0
    order = np.where(clockwise[:, None], [0, 2, 1], [0, 1, 2])
    rows = np.arange(len(order))[:, None]
    return hull.simplices[rows, order], hull.neighbors[rows, order]


def _solid_angles_and_volumes(
    a: np.ndarray, b: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The signed solid angles of triangles [t, 3] seen from the origin, and the signed volumes of
    their tetrahedra with the origin.

    Van Oosterom and Strackee, IEEE Trans. Biomed. Eng. BME-30, 125 (1983).
    """
    la, lb, lc = (np.sqrt(np.einsum("tx,tx->t", x, x)) for x in (a, b, c))
    ab, bc, ca = (np.einsum("tx,tx->t", x, y) for x, y in ((a, b), (b, c), (c, a)))
    triple = np.linalg.det(np.stack([a, b, c], axis=1))
    return 2 * np.arctan2(triple, la * lb * lc + ab * lc + bc * la + ca * lb), triple / 6
