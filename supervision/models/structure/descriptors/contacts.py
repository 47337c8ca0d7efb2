"""Distances, angles and heights of pairs of elements that are known to matter for Tc.

The partners of one kind around an atom are weighted as in Hoppe's effective coordination number
(Z. Kristallogr. 150, 23, 1979): by ``exp(1 - (d / d_mean)**6)``, where d_mean is the mean distance
with the weights ``exp(1 - (d / d_shortest)**6)``. A single shell of n partners has the sum n.
"""

import numpy as np

from supervision.models.structure.descriptors.bonds import Surroundings
from supervision.models.structure.descriptors.network import (
    direction_tensors,
    linearity_and_planarity,
)
from supervision.models.structure.descriptors.sites import (
    elements,
    f_elements,
    ligands,
    transition_metals,
)
from supervision.models.structure.descriptors.statistics import sums_by, weighted_mean

MAX_BOND_RATIO = 1.5  # of the distance in a polyhedron to the sum of covalent radii
MIN_PAIR_WEIGHT = 0.01  # of pairs of different partners; an angle needs two partners
PLANE, APEX = (0, 4), (4, 5)  # which of the nearest oxygen atoms of Cu, counted by occupancy

DISTANCES = {
    "Cu-O distance": "angstrom; the shortest of the planes sets the hopping of cuprates",
    "B-B distance": "angstrom; stiff B-B bonds couple strongly in MgB2",
    "C-C distance": "angstrom; 1.4 in graphite and C60, 1.3 in carbide pairs",
    "H-H distance": "angstrom; 0.75 in molecules, above 1 in superconducting hydrides",
    "H-metal distance": "angstrom to any other element than H",
    "Bi-O distance": "angstrom; breathing of the octahedra in bismuthates",
    "metal-carbon distance": "angstrom from transition metals to B, C and N: borides, interstitial "
    "carbides and nitrides",
    "metal-oxygen distance": "angstrom from transition metals to O",
    "metal-chalcogen distance": "angstrom from transition metals to S, Se and Te",
    "metal-pnictogen distance": "angstrom from transition metals to P, As, Sb and Bi",
    "metal-tetrel distance": "angstrom from transition metals to Al, Ga, In, Si, Ge and Sn, as in "
    "A15 and intermetallic compounds",
    "metal-metal distance": "angstrom between transition metals",
    "f-f distance": "angstrom between f elements; above 3.4 f electrons are local and magnetic "
    "(Hill limit, in Plutonium 1970 and Other Actinides, p. 2)",
}
CUPRATE = {
    "Cu-O plane distance": "mean of the four nearest O of Cu, smallest over all Cu, angstrom",
    "Cu-O apex distance": "fifth nearest O of Cu, smallest over all Cu, angstrom; distant apical "
    "oxygen goes with high Tc (Ohta, Tohyama and Maekawa, Phys. Rev. B 43, 2968, 1991)",
    "Cu-O apex ratio": "apex over plane distance",
}
POLYHEDRON_QUANTITIES = {
    "coordination number": "effective number of partners around the metal",
    "angle deviation": "standard deviation of the cosine of the partner-metal-partner angles; 0 in "
    "a tetrahedron, where Fe-As has its highest Tc (Lee et al., J. Phys. Soc. Jpn. 77, 083704, "
    "2008)",
    "bridge cosine": "mean cosine of the metal-partner-metal angles; -1 if straight, as in flat "
    "CuO2 planes, where superexchange is largest",
    "height": "mean distance of the partner from the centre of its metal atoms, angstrom; in Fe-As "
    "the height above the Fe plane, with the highest Tc at 1.38 (Mizuguchi et al., Supercond. Sci. "
    "Technol. 23, 054013, 2010)",
}
POLYHEDRA = {  # Fe-anion: P, As, S, Se and Te; metal-ligand: transition metals and non-metals
    "Cu-O": ("coordination number", "angle deviation", "bridge cosine"),
    "Fe-anion": ("angle deviation", "bridge cosine", "height"),
    "metal-ligand": tuple(POLYHEDRON_QUANTITIES),
}
CHAINS = {
    "like metal distance": "shortest between transition metals of one element, over the sum of the "
    "radii; 0.81 in the chains of A15 Nb3Sn",
    "like metal coordination number": "2 in chains, 4 in square planes, 8 in bcc",
    "like metal linearity": "linearity (see network) of the neighbours of one element; 1 in chains",
    "like atom distance": "shortest between any atoms of one element, over the sum of the radii",
}
CONTACTS = {
    **DISTANCES,
    **CUPRATE,
    **{
        f"{kind} {name}": POLYHEDRON_QUANTITIES[name]
        for kind, names in POLYHEDRA.items()
        for name in names
    },
    **CHAINS,
}


def contacts(around: Surroundings) -> dict[str, float]:
    """The values of CONTACTS; NaN where the crystal has no such pair."""
    values: dict[str, float] = {}
    for kind, classes in _pair_classes().items():
        one, other = (around.sites.amount_of(selected) for selected in classes)
        if f"{kind} distance" in DISTANCES:
            pairs = (one[around.i] > 0) & (other[around.j] > 0)
            values[f"{kind} distance"] = _shortest(around.distance, pairs)
        if kind in POLYHEDRA:
            found = _polyhedra(around, one, other)
            values |= {f"{kind} {name}": found[name] for name in POLYHEDRA[kind]}
    return values | _cuprate(around) | _chains(around)


def _pair_classes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The element classes (bool [94]) of the two ends of each kind of contact."""
    metal, f, hydrogen = transition_metals(), f_elements(), elements("H")
    return {
        "Cu-O": (elements("Cu"), elements("O")),
        "Fe-anion": (elements("Fe"), elements("P As S Se Te")),
        "B-B": (elements("B"), elements("B")),
        "C-C": (elements("C"), elements("C")),
        "H-H": (hydrogen, hydrogen),
        "H-metal": (hydrogen, ~hydrogen),
        "Bi-O": (elements("Bi"), elements("O")),
        "metal-carbon": (metal, elements("B C N")),
        "metal-oxygen": (metal, elements("O")),
        "metal-chalcogen": (metal, elements("S Se Te")),
        "metal-pnictogen": (metal, elements("P As Sb Bi")),
        "metal-tetrel": (metal, elements("Al Ga In Si Ge Sn")),
        "metal-metal": (metal, metal),
        "metal-ligand": (metal, ligands()),
        "f-f": (f, f),
    }


def _shortest(lengths: np.ndarray, pairs: np.ndarray) -> float:
    return float(lengths[pairs].min()) if pairs.any() else np.nan


def _shell_weights(around: Surroundings, amount: np.ndarray) -> np.ndarray:
    """Hoppe's weights [m] of the partners around each atom, times their ``amount`` [m]."""
    pairs, count = amount > 0, len(around.sites.occupancy)
    i, distance, amount_there = around.i[pairs], around.distance[pairs], amount[pairs]
    shortest = np.full(count, np.inf)
    np.minimum.at(shortest, i, distance)
    near = amount_there * np.exp(1 - (distance / shortest[i]) ** 6)
    with np.errstate(invalid="ignore"):  # atoms without partners
        mean = sums_by(i, near * distance, count) / sums_by(i, near, count)
    weights = np.zeros(len(pairs))
    weights[pairs] = amount_there * np.exp(1 - (distance / mean[i]) ** 6)
    return weights


def _polyhedra(around: Surroundings, metal: np.ndarray, partner: np.ndarray) -> dict[str, float]:
    """The values of POLYHEDRON_QUANTITIES for the amounts [n] of a metal and of its partner."""
    i, j, bonded = around.i, around.j, around.relative < MAX_BOND_RATIO
    of_metal = _shell_weights(around, bonded * (metal[i] > 0) * partner[j])
    of_partner = _shell_weights(around, bonded * (partner[i] > 0) * metal[j])
    cosine, _ = _cosines(around, of_partner)
    _, deviation = _cosines(around, of_metal)
    distance_of_centre = np.linalg.norm(_means(around, of_partner, around.vector), axis=1)
    coordination = sums_by(i, of_metal, len(metal))
    return {
        "coordination number": weighted_mean(coordination, metal * (coordination > 0)),
        "angle deviation": weighted_mean(deviation, metal),
        "bridge cosine": weighted_mean(cosine, partner),
        "height": weighted_mean(distance_of_centre, partner),
    }


def _cosines(around: Surroundings, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [n] of the cosines of the angles between partners of each atom.

    Both follow from the mean direction and the mean of u u^T over directions u, less the pairs of a
    partner with itself, whose cosine is 1. NaN for atoms with fewer than two partners.
    """
    direction = _means(around, weights, around.vector / around.distance[:, None])
    tensor = _means(around, weights, direction_tensors(around))
    total = sums_by(around.i, weights, len(tensor))
    with np.errstate(invalid="ignore"):
        itself = sums_by(around.i, weights**2, len(tensor)) / total**2
    pairs = np.where(1 - itself > MIN_PAIR_WEIGHT, 1 - itself, np.nan)
    mean = ((direction**2).sum(axis=1) - itself) / pairs
    square = ((tensor**2).sum(axis=(1, 2)) - itself) / pairs
    return mean, np.sqrt(np.clip(square - mean**2, 0, None))


def _means(around: Surroundings, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The weighted mean of ``values`` [m, ...] around each atom, [n, ...]; NaN without weights."""
    count, columns = len(around.sites.occupancy), (-1,) + (1,) * (values.ndim - 1)
    total = sums_by(around.i, weights, count).reshape(columns)
    with np.errstate(invalid="ignore"):
        return sums_by(around.i, weights.reshape(columns) * values, count) / total


def _cuprate(around: Surroundings) -> dict[str, float]:
    """The values of CUPRATE."""
    copper, oxygen = (around.sites.amount_of(elements(x)) for x in ("Cu", "O"))
    means = (_mean_distance(around, copper, oxygen, *ranks) for ranks in (PLANE, APEX))
    plane, apex = (_shortest(mean, ~np.isnan(mean)) for mean in means)
    return dict(zip(CUPRATE, (plane, apex, apex / plane), strict=True))


def _mean_distance(
    around: Surroundings, centre: np.ndarray, partner: np.ndarray, first: int, last: int
) -> np.ndarray:
    """The mean distance [n] of the partners between two counts, nearest first.

    Partners are counted by their amount [n]: half an atom fills half a place. NaN for sites without
    ``centre`` atoms and for those with too few partners.
    """
    pairs = np.flatnonzero((centre[around.i] > 0) & (partner[around.j] > 0))
    pairs = pairs[np.lexsort((around.distance[pairs], around.i[pairs]))]
    i, distance, amount = around.i[pairs], around.distance[pairs], partner[around.j[pairs]]
    before = np.cumsum(amount) - amount
    before -= before[np.searchsorted(i, i)]  # of the same atom
    inside = np.clip(before + amount, first, last) - np.clip(before, first, last)
    total = sums_by(i, inside, len(centre))
    total[total < last - first - 1e-6] = np.nan
    return sums_by(i, inside * distance, len(centre)) / total


def _chains(around: Surroundings) -> dict[str, float]:
    """The values of CHAINS."""
    sites, i, j = around.sites, around.i, around.j
    metal = sites.amount_of(transition_metals())
    metals = sites.amounts * transition_metals()
    like_metals = (metals @ metals.T)[i, j]
    like_atoms = (sites.amounts @ sites.amounts.T)[i, j]
    partners = np.divide(like_metals, metal[i], out=np.zeros(len(i)), where=metal[i] > 0)
    weights = _shell_weights(around, partners)
    tensors = sums_by(i, weights[:, None, None] * direction_tensors(around), len(metal))
    linearity, _ = linearity_and_planarity(tensors)
    values = (
        _shortest(around.relative, like_metals > 0),
        weighted_mean(sums_by(i, weights, len(metal)), metal),
        weighted_mean(linearity, metal),
        _shortest(around.relative, like_atoms > 0),
    )
    return dict(zip(CHAINS, values, strict=True))
