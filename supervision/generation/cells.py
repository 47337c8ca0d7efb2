"""The cell of a crystal in which elements were replaced.

A partial replacement keeps the cell of the parent: so do all doped structures of 3DSC, from which
the models have learned. Where an element replaces another one altogether, the volume changes as the
sum of the volumes per atom in the ground states of the elements does (``GSvolume_pa`` of Magpie).
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from supervision.data.element_tables import magpie, magpie_names
from supervision.data.substitution import dopant_fraction, substituted
from supervision.generation.replacements import Replacement

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

Change = tuple[Replacement, float]  # a replacement, and the fraction of the host that it replaces


def changed(structure: "Structure", changes: Sequence[Change]) -> "Structure":
    """The structure after the replacements, which are of different hosts; positions stay.

    Raises CrystalError as ``substituted`` does.
    """
    for (host, dopant, *_), fraction in changes:
        shared = dopant_fraction(structure, host, dopant)  # of the sites that both may be on
        total = shared + fraction * (1 - shared)
        before, structure = structure, substituted(structure, host, dopant, total)
        if fraction == 1:
            ratio = elemental_volume(structure.composition) / elemental_volume(before.composition)
            structure.scale_lattice(before.volume * ratio)
    return structure


def elemental_volume(composition: "Composition") -> float:
    """The sum of the volumes of the atoms in the ground states of the elements, in cubic angstrom.

    Ward et al., npj Comput. Mater. 2, 16028 (2016).
    """
    return sum(_volumes()[element.Z - 1] * amount for element, amount in composition.items())


@cache
def _volumes() -> list[float]:
    """Per atom, by atomic number."""
    volumes: list[float] = magpie()[:, magpie_names().index("GSvolume_pa")].tolist()
    return volumes
