"""Structure types that the composition alone does not decide, in crystals with disordered sites.

A site belongs to a group of elements that has at least half of its atoms, so that doping and
vacancies do not change the type.
"""

from collections import Counter
from collections.abc import Set

import numpy as np
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from supervision.data.neighbours import neighbours

# Space group number, and the numbers of equivalent atoms in the primitive cell: of a group of
# elements, and of all others. International Tables for Crystallography A, by Wyckoff positions.
Prototype = tuple[int, tuple[int, ...], tuple[int, ...]]
ALB2: Prototype = (191, (2,), (1,))  # C32; the group is B
CR3SI: Prototype = (223, (6,), (2,))  # A15; the group is Cr
NACL: Prototype = (225, (1,), (1,))  # B1
MGCU2: Prototype = (227, (2,), (4,))  # C15; the group is Mg
MGZN2: Prototype = (194, (4,), (2, 6))  # C14
MGNI2: Prototype = (194, (4, 4), (4, 6, 6))  # C36

SYMMETRY_TOLERANCE = 0.3  # angstrom; the B layers of MgAlB4 miss the period of MgB2 by 0.2
COPPER_BRIDGE = (3.4, 4.3)  # angstrom, Cu to Cu across an O: 3.78 in La2CuO4
BISMUTH_BRIDGE = (3.9, 4.8)  # angstrom, Bi to Bi across an O: 4.35 in BaBiO3
BRIDGE_OFFSET = 0.6  # angstrom from the middle: a bond angle of 150 degrees at 2.2 angstrom
BRIDGE_ASYMMETRY = 0.3  # angstrom between its two bonds; 0.4 across the apical O of YBa2Cu3O7
IRON_BOND = 2.9  # angstrom: Fe-As 2.40 in BaFe2As2, Fe-Te 2.62 in FeTe
IRON_NET = 3.2  # angstrom, Fe to Fe: 2.80 in BaFe2As2
CLUSTER_BOND = 3.0  # angstrom, Mo to Mo: 2.7 in the cluster of PbMo6S8, 3.26 to the next one


def has_prototype(structure: Structure, group: Set[str], prototypes: Set[Prototype]) -> bool:
    """Whether the structure is of one of the types, with sites of ``group`` and all other sites."""
    kinds = np.where(_sites(structure, group), "O", "Mg").tolist()
    ordered = Structure(structure.lattice, kinds, structure.frac_coords)
    primitive = SpacegroupAnalyzer(ordered, symprec=SYMMETRY_TOLERANCE).find_primitive()
    if primitive is None or len(primitive) not in {sum(a) + sum(b) for _, a, b in prototypes}:
        return False
    symmetry = SpacegroupAnalyzer(primitive, symprec=SYMMETRY_TOLERANCE).get_symmetry_dataset()
    symbols = [site.specie.symbol for site in primitive]
    orbits = Counter(zip(symbols, symmetry.equivalent_atoms, strict=True))
    sizes = {
        kind: tuple(sorted(size for (found, _), size in orbits.items() if found == kind))
        for kind in ("O", "Mg")
    }
    return (symmetry.number, sizes["O"], sizes["Mg"]) in prototypes


def has_copper_oxide_plane(structure: Structure) -> bool:
    """Whether a Cu is bridged by O to four others; to two in chains, three in ladders."""
    return bool((_bridges(structure, {"Cu"}, {"O"}, COPPER_BRIDGE) == 4).any())


def has_bismuth_oxide_network(structure: Structure) -> bool:
    """Whether all Bi, Pb and Sb are bridged by O to six others, as in a perovskite."""
    bridges = _bridges(structure, {"Bi", "Pb", "Sb"}, {"O"}, BISMUTH_BRIDGE)
    return bridges.size > 0 and bool((bridges == 6).all())


def has_iron_net(structure: Structure, metals: Set[str], anions: Set[str]) -> bool:
    """Whether a site with Fe has four anions and three or four metals around it.

    It has so in the layers of FeSe and LaFeAsO and in the ladders of BaFe2S3; in pyrite, filled
    skutterudites and MnP-type FeAs it has six anions.
    """
    iron = np.array(["Fe" in site.species.get_el_amt_dict() for site in structure])
    bonds = _counts(structure, iron, _sites(structure, anions), IRON_BOND)
    net = _counts(structure, iron, _sites(structure, metals), IRON_NET)
    return bool(((bonds == 4) & (net >= 3) & (net <= 4)).any())


def has_octahedral_clusters(structure: Structure, metals: Set[str]) -> bool:
    """Whether every metal has four metals around it, as in the Mo6 cluster of the Chevrel phases.

    In the larger clusters of Mo15Se19 and in Mo6Se6 chains, some or all have six.
    """
    metal = _sites(structure, metals)
    counts = _counts(structure, metal, metal, CLUSTER_BOND)
    return counts.size > 0 and bool((counts == 4).all())


def _sites(structure: Structure, group: Set[str]) -> np.ndarray:
    """Whether at least half of the atoms of each site belong to the group, [n]."""
    amounts = [site.species.get_el_amt_dict() for site in structure]
    return np.array(
        [sum(x for el, x in a.items() if el in group) >= sum(a.values()) / 2 for a in amounts]
    )


def _counts(
    structure: Structure, centres: np.ndarray, others: np.ndarray, radius: float
) -> np.ndarray:
    """The number of the sites ``others`` [n] around each of the sites ``centres`` [n], [k]."""
    indices = np.flatnonzero(centres)
    if not indices.size:
        return np.zeros(0, dtype=int)
    i, j, _, _ = neighbours(structure, radius, atoms=indices)
    return np.bincount(i[others[j]], minlength=len(structure))[indices]


def _bridges(
    structure: Structure, metals: Set[str], anions: Set[str], distance: tuple[float, float]
) -> np.ndarray:
    """The number of metals to which an anion between them connects each metal, [k]."""
    metal, anion = _sites(structure, metals), _sites(structure, anions)
    indices = np.flatnonzero(metal)
    if not indices.size:
        return np.zeros(0, dtype=int)
    i, j, image, length = neighbours(structure, distance[1], atoms=indices)
    frac = structure.frac_coords
    vector = (frac[j] + image - frac[i]) @ structure.lattice.matrix  # [m, 3]
    far = metal[j] & (length >= distance[0])
    counts = []
    for centre in indices:
        others = vector[far & (i == centre)][:, None]  # [k, 1, 3]
        bonds = vector[anion[j] & (i == centre)]  # [b, 3]
        offset = np.linalg.norm(bonds - others / 2, axis=-1)  # [k, b]
        asymmetry = np.abs(np.linalg.norm(bonds - others, axis=-1) - np.linalg.norm(bonds, axis=-1))
        is_bridge = (offset <= BRIDGE_OFFSET) & (asymmetry <= BRIDGE_ASYMMETRY)
        counts.append(is_bridge.any(axis=1).sum())
    return np.array(counts)
