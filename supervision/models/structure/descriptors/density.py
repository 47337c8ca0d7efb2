"""How much space the atoms and their electrons have, and how the sites are occupied."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr  # -x ln x

from supervision.models.structure.descriptors.sites import (
    Sites,
    covalent_radius,
    d_electrons,
    magpie_property,
    valence_electrons,
)
from supervision.models.structure.descriptors.statistics import weighted_mean

if TYPE_CHECKING:  # without it, no Voronoi cells are needed
    from supervision.models.structure.descriptors.bonds import Surroundings

DENSITY = {
    "volume per atom": "cubic angstrom; sets band widths and phonon frequencies",
    "volume over that of the elements": "volume over the sum of the volumes of the atoms in their "
    "elements (Zen's law); bonding and pressure make it smaller",
    "valence electrons per volume": "per cubic angstrom; sets the Fermi wave vector and the plasma "
    "frequency of free electrons",
    "d electrons per volume": "per cubic angstrom; d bands give a high density of states",
    "mass per volume": "dalton per cubic angstrom; heavy and dense crystals have soft phonons",
    "packing fraction": "volume of spheres with covalent radii over that of the cell; low in open "
    "and in ionic crystals",
    "largest void": "radius of the largest sphere without the centre of an atom, angstrom; cages, "
    "channels and gaps between layers",
}


def density(around: "Surroundings") -> dict[str, float]:
    """The values of DENSITY."""
    return density_of_sites(around.sites, around.volume) | {"largest void": around.void_radius}


def density_of_sites(sites: Sites, volume: float) -> dict[str, float]:
    """The values of DENSITY that need no search for neighbours; the volume is in cubic angstrom."""
    amounts = sites.amounts.sum(axis=0)  # [94] atoms in the cell
    spheres = 4 / 3 * np.pi * covalent_radius() ** 3
    return {
        "volume per atom": volume / amounts.sum(),
        "volume over that of the elements": volume / (amounts @ magpie_property("GSvolume_pa")),
        "valence electrons per volume": amounts @ valence_electrons() / volume,
        "d electrons per volume": amounts @ d_electrons() / volume,
        "mass per volume": amounts @ magpie_property("AtomicWeight") / volume,
        "packing fraction": amounts @ spheres / volume,
    }


DISORDER = {
    "vacancy share": "part of all sites that is vacant; vacancies dope and scatter",
    "largest vacancy share": "of one site; an oxygen site that is partly vacant sets the doping",
    "mixed share": "part of the atoms on sites of several elements: the extent of doping",
    "site entropy": "mean over sites of -sum x ln x over elements and vacancy; scattering by "
    "disorder breaks unconventional pairs",
    "largest site entropy": "of one site, as above",
    "radius mismatch": "mean standard deviation of the covalent radii on a site, angstrom; lowers "
    "Tc in doped La2CuO4 (Attfield, Kharlanov and McAllister, Nature 394, 157, 1998)",
    "electronegativity mismatch": "the same for electronegativity: contrast of the potential that "
    "scatters electrons",
}


def disorder(sites: Sites) -> dict[str, float]:
    """The values of DISORDER."""
    vacancy = np.clip(1 - sites.occupancy, 0, 1)
    parts = np.column_stack([sites.amounts, vacancy])
    entropy = entr(parts).sum(axis=1)
    mixed = (sites.amounts > 0).sum(axis=1) > 1
    return {
        "vacancy share": vacancy.mean(),
        "largest vacancy share": vacancy.max(),
        "mixed share": weighted_mean(mixed.astype(float), sites.occupancy),
        "site entropy": entropy.mean(),
        "largest site entropy": entropy.max(),
        "radius mismatch": _mismatch(sites, covalent_radius()),
        "electronegativity mismatch": _mismatch(sites, magpie_property("Electronegativity")),
    }


def _mismatch(sites: Sites, values: np.ndarray) -> float:
    """The mean over atoms of the standard deviation of an element property on their site."""
    squares = (values - sites.mean_of(values)[:, None]) ** 2  # [n, 94]
    variance = (sites.amounts * squares).sum(axis=1) / sites.occupancy
    return weighted_mean(np.sqrt(variance), sites.occupancy)
