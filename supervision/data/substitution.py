"""Crystals in which one element replaces another on its sites, in part or altogether."""

import math
from typing import TYPE_CHECKING, NamedTuple

from supervision.data.elements import ELEMENTS
from supervision.data.errors import CrystalError

if TYPE_CHECKING:
    from pymatgen.core import PeriodicSite, Structure

FRACTION_DECIMALS = 6  # of an occupancy; those of CIF files have fewer
DIGITS = 12  # of a difference of occupancies; those behind them are rounding


class Substitution(NamedTuple):
    """The element that is replaced, and the one that replaces it, as symbols."""

    host: str
    dopant: str

    def __str__(self) -> str:
        return f"{self.host}:{self.dopant}"


def substituted(structure: "Structure", host: str, dopant: str, fraction: float) -> "Structure":
    """The structure with the dopant on a fraction of the sites of the host; positions stay.

    Every site with the host takes part. What host and dopant share there is divided anew: the
    fraction to the dopant, the rest to the host. Other elements and vacancies keep their share.

    Args:
        host, dopant: element symbols.
        fraction: 0 to 1; at 1 the dopant replaces the host.

    Raises CrystalError where the structure has no host, the dopant is no element that models read,
    or the fraction is not between 0 and 1.
    """
    _check(structure, host, dopant, fraction)
    species = []
    for site in structure:
        amounts = site_elements(site)
        if host in amounts:
            shared = amounts.pop(host) + amounts.pop(dopant, 0.0)
            amounts[dopant] = min(round(fraction * shared, FRACTION_DECIMALS), shared)
            amounts[host] = round(shared - amounts[dopant], DIGITS)  # together as before, no more
        species.append({symbol: amount for symbol, amount in amounts.items() if amount > 0})
    return type(structure)(structure.lattice, species, structure.frac_coords)


def dopant_fraction(structure: "Structure", host: str, dopant: str) -> float:
    """The fraction of the dopant among host and dopant, on the sites with the host.

    Raises CrystalError where the structure has no host.
    """
    _check(structure, host, dopant, 0.0)
    sites = [amounts for amounts in map(site_elements, structure) if host in amounts]
    dopants = sum(amounts.get(dopant, 0.0) for amounts in sites)
    return dopants / (dopants + sum(amounts[host] for amounts in sites))


def mixed_pairs(structure: "Structure") -> list[tuple[str, str]]:
    """Host and dopant of each mixed site, without repetition; the host has the larger share."""
    pairs: dict[tuple[str, str], None] = {}
    for amounts in map(site_elements, structure):
        host, *dopants = sorted(amounts, key=lambda symbol: -amounts[symbol])
        pairs |= {(host, dopant): None for dopant in dopants}
    return list(pairs)


def site_elements(site: "PeriodicSite") -> dict[str, float]:
    """The occupancy of a site by element symbol; D and T are hydrogen."""
    amounts: dict[str, float] = {}
    for species, occupancy in site.species.items():
        symbol = getattr(species, "element", species).symbol
        amounts[symbol] = amounts.get(symbol, 0.0) + float(occupancy)
    return amounts


def _check(structure: "Structure", host: str, dopant: str, fraction: float) -> None:
    present = {symbol for site in structure for symbol in site_elements(site)}
    if host not in present:
        raise CrystalError(
            f"The crystal has no '{host[:10]}' to replace; it has {', '.join(sorted(present))}."
        )
    if dopant not in ELEMENTS or dopant == host:
        raise CrystalError(f"'{dopant[:10]}' cannot replace {host}; name another element, H to Pu.")
    if not (math.isfinite(fraction) and 0 <= fraction <= 1):
        raise CrystalError(f"The fraction of {dopant} must be 0 to 1, got {fraction:g}.")
