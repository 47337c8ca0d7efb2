"""The first shell of the atoms: Voronoi neighbours, weighted by their solid angles.

Weights by solid angle need no cutoff, so no descriptor jumps where an atom enters the shell.
"""

import numpy as np
from scipy.special import sph_harm_y

from supervision.models.structure.descriptors.bonds import Surroundings
from supervision.models.structure.descriptors.sites import (
    covalent_radius,
    electron_affinity,
    ligands,
    magpie_property,
    transition_metals,
)
from supervision.models.structure.descriptors.statistics import meanings, statistics, sums_by

MEAN_AND_SPREAD = ("mean", "deviation")
MEAN_AND_HIGHEST = ("mean", "maximum")

SHELL_QUANTITIES = {
    "coordination number": "solid angle of all neighbours over that of the largest (O'Keeffe, Acta "
    "Cryst. A35, 772, 1979)",
    "nearest neighbour": "shortest distance over the sum of covalent radii; 1 for a single bond",
    "shell distance": "mean distance of the shell over the sum of covalent radii",
}
SHAPE_QUANTITIES = {
    "shell spread": "standard deviation over mean of the relative distances in one shell; high "
    "where strong and weak bonds are side by side",
    "shell dipole": "length of the mean direction to the neighbours; 0 with inversion at the atom",
    "shell q2": "bond order parameter, 0 in cubic surroundings (Steinhardt, Nelson and Ronchetti, "
    "Phys. Rev. B 28, 784, 1983; with weights, Mickel et al., J. Chem. Phys. 138, 044501, 2013)",
    "shell q4": "bond order parameter; the shape that splits d levels",
    "shell q6": "bond order parameter; high in close packing",
}
DIFFERENCES = {
    "electronegativity difference": "over the bonds; polarity of bonds, not only of elements that "
    "are present",
    "electron affinity difference": "over the bonds, electronvolt",
    "radius difference": "over the bonds, angstrom of covalent radius",
}
SHELL = {
    **meanings(SHELL_QUANTITIES),
    **meanings(SHAPE_QUANTITIES, MEAN_AND_HIGHEST),
    **meanings(DIFFERENCES, MEAN_AND_SPREAD),
    "deviation cell volume": "standard deviation over mean of the volumes of the Voronoi cells; "
    "high where large cations separate dense blocks",
    "chemical order": "1 - probability that a bond joins atoms of one element over that of random "
    "mixing (Cowley, Phys. Rev. 77, 669, 1950); 1 if none does",
    "metal-metal share": "part of the bonds between transition metals: direct d-d overlap",
    "metal-ligand share": "part of the bonds between transition metals and non-metals",
    "ligand-ligand share": "part of the bonds between non-metals: covalent networks such as B in "
    "MgB2, molecules such as C60",
}


def shell(around: Surroundings) -> dict[str, float]:
    """The values of SHELL.

    Sites are weighted by occupancy, bonds by the occupancies of both ends and the solid angle.
    """
    sites, i, j = around.sites, around.i, around.j
    occupied = around.share * sites.occupancy[j]  # [m]
    values: dict[str, float] = {}
    for name, of_site in _shell_quantities(around, occupied).items():
        values |= statistics(name, of_site, sites.occupancy)
    for name, of_site in _shape_quantities(around, occupied).items():
        values |= statistics(name, of_site, sites.occupancy, MEAN_AND_HIGHEST)
    bonds = sites.occupancy[i] * occupied
    tables = (magpie_property("Electronegativity"), electron_affinity(), covalent_radius())
    for name, table in zip(DIFFERENCES, tables, strict=True):
        difference = np.abs(sites.mean_of(table)[i] - sites.mean_of(table)[j])
        values |= statistics(name, difference, bonds, MEAN_AND_SPREAD)
    volume = around.cell_volume / np.average(around.cell_volume, weights=sites.occupancy)
    values |= statistics("cell volume", volume, sites.occupancy, ("deviation",))
    return values | _bonds_by_class(around)


def _shell_quantities(around: Surroundings, occupied: np.ndarray) -> dict[str, np.ndarray]:
    """The values [n] of SHELL_QUANTITIES."""
    i, count = around.i, len(around.sites.occupancy)
    largest, nearest = np.zeros(count), np.full(count, np.inf)
    np.maximum.at(largest, i, around.share)
    np.minimum.at(nearest, i, around.relative)
    total = sums_by(i, occupied, count)
    distance = sums_by(i, occupied * around.relative, count) / total
    values = (total / largest, nearest, distance)
    return dict(zip(SHELL_QUANTITIES, values, strict=True))


def _shape_quantities(around: Surroundings, occupied: np.ndarray) -> dict[str, np.ndarray]:
    """The values [n] of SHAPE_QUANTITIES."""
    i, count = around.i, len(around.sites.occupancy)
    weight = occupied / sums_by(i, occupied, count)[i]  # [m] their sum over a shell is 1
    mean = sums_by(i, weight * around.relative, count)
    variance = sums_by(i, weight * (around.relative - mean[i]) ** 2, count)
    orders = [_bond_order(around, weight, degree) for degree in (1, 2, 4, 6)]
    return dict(zip(SHAPE_QUANTITIES, (np.sqrt(variance) / mean, *orders), strict=True))


def _bond_order(around: Surroundings, weight: np.ndarray, degree: int) -> np.ndarray:
    """Bond order parameters of the shells, [n]: the root of 4 pi / (2 l + 1) sum_m |<Y_lm>|**2."""
    faces = weight > 0
    x, y, z = around.vector[faces].T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    power = np.zeros(len(around.sites.occupancy))
    for order in range(degree + 1):
        harmonic = weight[faces] * sph_harm_y(degree, order, polar, azimuth)
        mean = sums_by(around.i[faces], harmonic, len(power))
        power += (1 if order == 0 else 2) * np.abs(mean) ** 2  # Y_l,-m is as large as Y_l,m
    return np.sqrt(4 * np.pi / (2 * degree + 1) * power)


def _bonds_by_class(around: Surroundings) -> dict[str, float]:
    """Chemical order, and the parts of the bonds between classes of elements."""
    sites, i, j, share = around.sites, around.i, around.j, around.share
    composition = sites.amounts.sum(axis=0) / sites.amounts.sum()
    all_bonds = (share * sites.occupancy[i] * sites.occupancy[j]).sum()
    like_bonds = share @ (sites.amounts @ sites.amounts.T)[i, j]
    metal, ligand = sites.amount_of(transition_metals()), sites.amount_of(ligands())
    return {
        "chemical order": 1 - like_bonds / all_bonds / (composition @ composition),
        "metal-metal share": share @ (metal[i] * metal[j]) / all_bonds,
        "metal-ligand share": share @ (metal[i] * ligand[j] + ligand[i] * metal[j]) / all_bonds,
        "ligand-ligand share": share @ (ligand[i] * ligand[j]) / all_bonds,
    }
