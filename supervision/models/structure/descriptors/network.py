"""The network of bonds: its strength, its directions, and in how many dimensions it connects.

A bond of length d between atoms whose covalent radii have the sum R has Pauling's bond order
``10**((R - d) / 0.6 angstrom)`` (Pauling, J. Am. Chem. Soc. 69, 542, 1947). It decays fast, so that
the pairs of ``Surroundings`` are enough.
"""

import numpy as np

from supervision.models.structure.descriptors.bonds import Surroundings
from supervision.models.structure.descriptors.percolation import percolation_thresholds
from supervision.models.structure.descriptors.sites import (
    framework_elements,
    ligands,
    magpie_property,
    transition_metals,
)
from supervision.models.structure.descriptors.statistics import (
    ALL_STATISTICS,
    meanings,
    statistics,
    sums_by,
    weighted_mean,
)

PAULING_DECAY_ANGSTROM = 0.6  # for a factor of 10 in bond order

STRENGTH = {
    **meanings({"bond order sum": "of one atom: the valence that its bonds use (Pauling)"}),
    "mean vibration": "mean over atoms of the root of bond order sum over mass (dalton): scale of "
    "the phonon frequency of a stiff bond on a light atom",
    "maximum vibration": "of the atom that vibrates fastest: H in hydrides, B in MgB2",
    "strong bond polarity": "mean electronegativity difference of bonds weighted by bond order",
    "d-d overlap": "mean over transition metals of the root of the sum of (distance over radii) to "
    "the power -10: width of the d band (Harrison, Electronic Structure, 1980: d-d matrix elements "
    "fall as d**-5; Friedel's second moment)",
    "d-p overlap": "the same between transition metals and non-metals, power -7: p-d matrix "
    "elements fall as d**-3.5",
}
NETWORK = {
    **STRENGTH,
    "linearity": "largest less second eigenvalue of the mean of u u^T over bond directions u, "
    "weighted by bond order: chains (after Westin et al., Med. Image Anal. 6, 93, 2002)",
    "planarity": "twice the second less the smallest eigenvalue: layers",
    "framework linearity": "linearity for bonds between framework elements (no electron donors)",
    "framework planarity": "planarity for bonds between framework elements, such as CuO2, FeAs, B",
    "mean local linearity": "mean over atoms of the linearity of their own bonds; a cubic crystal "
    "such as A15 can consist of chains",
    "mean local planarity": "mean over atoms of the planarity of their own bonds",
    "percolation 1D": "smallest distance over radii at which bonds connect chains (Larsen et al., "
    "Phys. Rev. Mater. 3, 034003, 2019)",
    "percolation 2D": "the same for layers",
    "percolation 3D": "the same for a network in space",
    "layering": "percolation in 3 over that in 2 dimensions; 1 if not layered",
    "framework percolation 1D": "as above for framework elements alone",
    "framework percolation 2D": "as above for framework elements alone",
    "framework percolation 3D": "as above for framework elements alone",
    "framework layering": "percolation of the framework in 3 over that in 2 dimensions",
}


def network(around: Surroundings) -> dict[str, float]:
    """The values of NETWORK; those of a framework are NaN without framework elements."""
    radii = around.distance / around.relative
    order = 10 ** ((radii - around.distance) / PAULING_DECAY_ANGSTROM)
    everything = np.ones(len(around.sites.occupancy), dtype=bool)
    return {
        **_strength(around, order),
        **_directions(around, order),
        **_thresholds("", around, everything),
        **_thresholds("framework ", around, around.sites.mostly(framework_elements())),
    }


def _strength(around: Surroundings, order: np.ndarray) -> dict[str, float]:
    """The values of STRENGTH, for the bond orders [m]."""
    sites, i, j, count = around.sites, around.i, around.j, len(around.sites.occupancy)
    occupied = order * sites.occupancy[j]
    order_sum = sums_by(i, occupied, count)
    vibration = np.sqrt(order_sum / sites.mean_of(magpie_property("AtomicWeight")))
    negativity = sites.mean_of(magpie_property("Electronegativity"))
    metal, ligand = sites.amount_of(transition_metals()), sites.amount_of(ligands())
    d_d, p_d = (
        np.sqrt(sums_by(i, around.relative**-power * partner[j], count))
        for power, partner in ((10.0, metal), (7.0, ligand))
    )
    return {
        **statistics("bond order sum", order_sum, sites.occupancy, ALL_STATISTICS),
        **statistics("vibration", vibration, sites.occupancy, ("mean", "maximum")),
        "strong bond polarity": weighted_mean(
            np.abs(negativity[i] - negativity[j]), sites.occupancy[i] * occupied
        ),
        "d-d overlap": weighted_mean(d_d, metal),
        "d-p overlap": weighted_mean(p_d, metal),
    }


def _directions(around: Surroundings, order: np.ndarray) -> dict[str, float]:
    """The linearities and planarities of NETWORK, for the bond orders [m]."""
    sites, i, j = around.sites, around.i, around.j
    framework, tensors = sites.amount_of(framework_elements()), direction_tensors(around)
    weights = (order * sites.occupancy[j])[:, None, None]
    local = sums_by(i, weights * tensors, len(sites.occupancy))
    total = np.einsum("n,nab->ab", sites.occupancy, local)
    of_framework = np.einsum("m,mab->ab", order * framework[i] * framework[j], tensors)
    shapes = linearity_and_planarity(np.stack([total, of_framework, *local]))
    values = {}
    for name, shape in zip(("linearity", "planarity"), shapes, strict=True):
        values[name], values[f"framework {name}"] = shape[:2].tolist()
        values[f"mean local {name}"] = weighted_mean(shape[2:], sites.occupancy)
    return values


def direction_tensors(around: Surroundings) -> np.ndarray:
    """u u^T of the direction u of each pair, [m, 3, 3]."""
    unit = around.vector / around.distance[:, None]
    return unit[:, :, None] * unit[:, None, :]


def linearity_and_planarity(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linearity and planarity [k] of sums of u u^T [k, 3, 3]; NaN for a sum of 0.

    Both are between 0 and 1, and their sum is at most 1.
    """
    trace = np.trace(tensors, axis1=1, axis2=2)
    trace = np.where(trace > 0, trace, np.nan)
    smallest, second, largest = np.linalg.eigvalsh(tensors).T / trace
    return largest - second, 2 * (second - smallest)


def _thresholds(prefix: str, around: Surroundings, part: np.ndarray) -> dict[str, float]:
    """The percolation thresholds of the bonds between the sites in ``part`` (bool [n])."""
    inside = part[around.i] & part[around.j]
    thresholds = percolation_thresholds(
        around.i[inside], around.j[inside], around.image[inside], around.relative[inside]
    )
    values = {f"{prefix}percolation {d + 1}D": float(thresholds[d]) for d in range(3)}
    return values | {f"{prefix}layering": float(thresholds[2] / thresholds[1])}
