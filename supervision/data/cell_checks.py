"""Limits that every cell must satisfy before any neighbour search.

Together with the limits in ``supervision.data.neighbours`` they bound the time and memory of
featurizing a crystal.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_ATOMS = 1_000  # sites in a cell; 3DSC has at most 162, disordered K3C60 has 492
MAX_EDGE_ANGSTROM = 500.0  # misfit layers and polytypes reach 100 to 400
MIN_THICKNESS_ANGSTROM = 0.5  # a neighbour search in a thinner cell does not finish
MIN_SITE_VOLUME = 1.0  # cubic angstrom per site; metallic hydrogen at 500 GPa has 1.4
MAX_SITE_VOLUME = 30_000.0  # cubic angstrom per site; isolated atoms in 3DSC have up to 3,730


def check_geometry(structure: "Structure") -> None:
    """Raise ValueError if the structure cannot be a crystal or is too large to process."""
    if len(structure) > MAX_ATOMS:
        raise ValueError(f"The cell holds {len(structure):,} atoms, more than {MAX_ATOMS:,}.")
    if not np.isfinite(structure.frac_coords).all():
        raise ValueError("A site has a coordinate that is not a finite number.")
    matrix = structure.lattice.matrix
    volume = abs(np.linalg.det(matrix))
    thickness = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0).max() if volume > 0 else 0.0
    if not thickness > MIN_THICKNESS_ANGSTROM:
        raise ValueError(
            f"The cell is {thickness:.2g} angstrom thick, and must be thicker than "
            f"{MIN_THICKNESS_ANGSTROM:g} angstrom."
        )
    edge = np.linalg.norm(matrix, axis=1).max()
    if edge > MAX_EDGE_ANGSTROM:
        raise ValueError(
            f"The cell has an edge of {edge:,.0f} angstrom, more than {MAX_EDGE_ANGSTROM:g}."
        )
    site_volume = volume / len(structure)
    if not MIN_SITE_VOLUME <= site_volume <= MAX_SITE_VOLUME:
        raise ValueError(
            f"The cell has {site_volume:.3g} cubic angstrom per site, and must have "
            f"{MIN_SITE_VOLUME:g} to {MAX_SITE_VOLUME:,.0f}."
        )
