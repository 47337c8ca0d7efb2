"""The space group of a disordered crystal, and the size and shape of its primitive cell."""

from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np
from pymatgen.core import Lattice

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMMETRY_TOLERANCE_ANGSTROM = 0.01
NO_ANGLE_TOLERANCE = -1  # spglib then judges angles by the distances that they change

SYMMETRY = {
    "space group number": "1 to 230, from triclinic to cubic; with the composition it nearly names "
    "the structure type",
    "point group order": "number of rotations; high symmetry makes degenerate bands",
    "inversion": "1 with inversion symmetry, else 0; without it singlet and triplet pairs mix",
    "sites of the primitive cell": "number of sites, partly vacant ones too; large cells have many "
    "optical phonons and narrow bands",
    "distinct sites": "number of sites that no symmetry operation relates; complexity",
    "site symmetry": "mean over sites of the order of the site symmetry group; sites of low "
    "symmetry have free coordinates, which phonons can shift",
    "second lattice length": "second over shortest lattice vector of the reduced primitive cell; "
    "unequal lengths say that the crystal is anisotropic",
    "third lattice length": "third over shortest lattice vector; large in layered crystals",
}


def symmetry(structure: "Structure") -> dict[str, float]:
    """The values of SYMMETRY; all NaN where spglib finds no symmetry.

    Sites are equivalent only if they have the same elements with the same occupancies.
    """
    found = _find_symmetry(structure)
    if found is None:
        return dict.fromkeys(SYMMETRY, np.nan)
    # The operations that spglib finds lack those that the lattice of a supercell breaks.
    group = gemmi.find_spacegroup_by_number(found.number)
    order = len(group.operations().sym_ops)
    sites, distinct = (
        len(set(x)) for x in (found.mapping_to_primitive, found.crystallographic_orbits)
    )
    shortest, second, third = sorted(
        Lattice(found.primitive_lattice).get_niggli_reduced_lattice().abc
    )
    return {
        "space group number": found.number,
        "point group order": order,
        "inversion": group.is_centrosymmetric(),
        "sites of the primitive cell": sites,
        "distinct sites": distinct,
        # An orbit of m sites has m site symmetry groups of the order of the point group over m.
        "site symmetry": order * distinct / sites,
        "second lattice length": second / shortest,
        "third lattice length": third / shortest,
    }


def space_group(structure: "Structure") -> str:
    """The international symbol of the space group; empty where spglib finds no symmetry."""
    found = _find_symmetry(structure)
    return "" if found is None else str(found.international)


def _find_symmetry(structure: "Structure") -> Any:
    """What spglib finds; None where it finds no symmetry."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        return SpacegroupAnalyzer(
            structure, symprec=SYMMETRY_TOLERANCE_ANGSTROM, angle_tolerance=NO_ANGLE_TOLERANCE
        ).get_symmetry_dataset()
    except SymmetryUndeterminedError:
        return None
