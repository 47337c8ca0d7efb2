"""What any cell must be before neighbours are looked for in it.

These limits, with those of ``supervision.data.neighbours``, bound the time and the memory of
whatever is made of a crystal.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_ATOMS = 1_000  # sites in a cell; 3DSC has 162 at most, disordered K3C60 492
MAX_EDGE = 500.0  # angstrom; misfit layers and polytypes reach 100 to 400
THINNEST_CELL = 0.5  # angstrom; below it a neighbour search has no end
SMALLEST_VOLUME = 1.0  # cubic angstrom a site; metallic hydrogen at 500 GPa has 1.4 an atom
LARGEST_VOLUME = 30_000.0  # cubic angstrom a site; lone atoms in a box of 3DSC have up to 3,730


def check_geometry(structure: "Structure") -> None:
    """Raise ValueError for a structure that is no crystal's, or too large to be read."""
    if len(structure) > MAX_ATOMS:
        raise ValueError(f"The cell holds {len(structure):,} atoms, more than {MAX_ATOMS:,}.")
    if not np.isfinite(structure.frac_coords).all():
        raise ValueError("A site has a coordinate that is not a finite number.")
    matrix = structure.lattice.matrix
    volume = abs(np.linalg.det(matrix))
    thickness = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0).max() if volume > 0 else 0.0
    if not thickness > THINNEST_CELL:
        raise ValueError(f"The cell is {thickness:.2g} angstrom thick, which no crystal's is.")
    edge = np.linalg.norm(matrix, axis=1).max()
    if edge > MAX_EDGE:
        raise ValueError(f"The cell has an edge of {edge:,.0f} angstrom, more than {MAX_EDGE:g}.")
    share = volume / len(structure)
    if not SMALLEST_VOLUME <= share <= LARGEST_VOLUME:
        raise ValueError(
            f"The cell has {share:.3g} cubic angstrom for a site, and a crystal has "
            f"{SMALLEST_VOLUME:g} to {LARGEST_VOLUME:,.0f}."
        )
