"""What any cell must be before neighbours are looked for in it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

THINNEST_CELL = 0.5  # angstrom; below it a neighbour search has no end


def check_geometry(structure: "Structure") -> None:
    """Raise ValueError for a coordinate that is no number, or a cell thinner than any crystal's."""
    if not np.isfinite(structure.frac_coords).all():
        raise ValueError("A site has a coordinate that is not a finite number.")
    matrix = structure.lattice.matrix
    areas = np.linalg.norm(np.cross(matrix[[1, 2, 0]], matrix[[2, 0, 1]]), axis=1)
    thickness = abs(np.linalg.det(matrix)) / areas.max()
    if not thickness > THINNEST_CELL:
        raise ValueError(f"The cell is {thickness:.2g} angstrom thick, which no crystal's is.")
