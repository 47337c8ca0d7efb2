"""Structural descriptors: what the composition of a crystal does not tell.

    values = structure_features(structure)  # [f], NaN where a descriptor does not apply
    names = structure_feature_names()
    DESCRIPTORS["empty slab"]  # what it measures, and why it may matter for Tc

No descriptor depends on the orientation, the origin, the order of the sites or the choice of the
cell: means over the sites of a supercell are those of the primitive cell. Sites are weighted by
their occupancy, and a mixed site has the mean properties of its atoms. Neighbours have weights that
fall with distance, so that a small displacement of the atoms changes little but the symmetry.
"""

from typing import TYPE_CHECKING

import numpy as np

from supervision.models.structure.descriptors.bonds import find_surroundings
from supervision.models.structure.descriptors.contacts import CONTACTS, contacts
from supervision.models.structure.descriptors.density import DENSITY, DISORDER, density, disorder
from supervision.models.structure.descriptors.layers import LAYERS, layers
from supervision.models.structure.descriptors.network import NETWORK, network
from supervision.models.structure.descriptors.shell import SHELL, shell
from supervision.models.structure.descriptors.symmetry import SYMMETRY, symmetry

if TYPE_CHECKING:
    from pymatgen.core import Structure

DECIMALS = 6  # else rounding errors of a supercell would tell it from its cell
DESCRIPTORS = DENSITY | DISORDER | SYMMETRY | SHELL | NETWORK | LAYERS | CONTACTS


def structure_features(structure: "Structure") -> np.ndarray:
    """The descriptors of an ordered or disordered structure, [f]; NaN where one does not apply.

    Raises ValueError for an element beyond Pu, an invalid cell or coordinate (``check_geometry``),
    two sites at the same position, or atoms that are too close for a neighbour search.
    """
    around = find_surroundings(structure)
    values = symmetry(structure) | layers(structure, around.sites) | disorder(around.sites)
    for group in (density, shell, network, contacts):
        values |= group(around)
    found = np.array([values[name] for name in DESCRIPTORS], dtype=float)
    return found.round(DECIMALS)


def structure_feature_names() -> list[str]:
    """The names of the descriptors, in the order of ``structure_features``."""
    return list(DESCRIPTORS)
