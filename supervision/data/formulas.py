"""Formulas for readers: per formula unit, from the most electropositive element to the last.

``La1.85Sr0.15CuO4``, where a sum over the cell gives ``Sr0.3La3.7Cu2O8``.
"""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from supervision.data.crystals import Crystal, parse_formula
from supervision.data.errors import CrystalError
from supervision.data.substitution import site_elements

if TYPE_CHECKING:
    from pymatgen.core import Structure

WHOLE = 1e-6  # how near an amount is to a whole number
KEPT = 50_000  # formulas that were read are kept; each has some 100 bytes


def crystal_formula(crystal: Crystal) -> str:
    """The formula of a crystal's structure or, without one, that which is given.

    Raises CrystalError for a crystal that cannot be read.
    """
    if crystal.cif or not crystal.formula:
        return structure_formula(crystal.structure)
    parse_formula(crystal.formula)
    return readable_formula(crystal.formula)


def structure_formula(structure: "Structure") -> str:
    """The formula of as many sites as give whole numbers of each kind of site."""
    if structure.is_ordered:
        return structure.composition.reduced_formula
    kinds = Counter(tuple(sorted(site_elements(site).items())) for site in structure)
    units = math.gcd(*kinds.values())
    return _joined([{s: x * n / units for s, x in kind} for kind, n in kinds.items()])


@lru_cache(KEPT)
def readable_formula(formula: str) -> str:
    """A formula in this order, its amounts as they are; unchanged if it is none.

    Two elements whose amounts add up to a whole number are taken to share their sites:
    ``Mg0.98Fe0.02B2`` for ``B2Fe0.02Mg0.98``.
    """
    try:
        composition = parse_formula(formula)
    except CrystalError:
        return formula
    left = {element.symbol: float(amount) for element, amount in composition.items()}
    sites = []
    while left:
        symbol, amount = left.popitem()
        partner = next((s for s, x in left.items() if _is_shared(amount, x)), None)
        sites.append({symbol: amount} | ({partner: left.pop(partner)} if partner else {}))
    return _joined(sites)


def _is_shared(amount: float, other: float) -> bool:
    """Whether neither amount is a whole number, and their sum is."""
    return not _is_whole(amount) and _is_whole(amount + other)


def _is_whole(amount: float) -> bool:
    return abs(amount - round(amount)) < WHOLE


def _joined(sites: Sequence[Mapping[str, float]]) -> str:
    """The amounts of the elements on each kind of site as a formula, the largest share first."""
    amounts: dict[str, float] = {}
    for site in sorted(sites, key=_electronegativity):
        for symbol, amount in sorted(
            site.items(), key=lambda item: (-item[1], _pauling(item[0]), item[0])
        ):
            amounts[symbol] = amounts.get(symbol, 0.0) + amount
    return "".join(formula_term(symbol, amount) for symbol, amount in amounts.items())


def formula_term(symbol: str, amount: float) -> str:
    """An element with its amount to four digits, which is left out where it is 1; empty for 0."""
    text = f"{amount:.4g}"
    return "" if text == "0" else symbol if text == "1" else f"{symbol}{text}"


def _electronegativity(site: Mapping[str, float]) -> tuple[float, list[str]]:
    """The mean electronegativity of the elements on a site, and their names."""
    mean = sum(_pauling(s) * x for s, x in site.items()) / sum(site.values())
    return mean, sorted(site)


@cache
def _pauling(symbol: str) -> float:
    """The electronegativity of an element on Pauling's scale; infinite where it has none."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which elements have none
        found = float(Element(symbol).X)
    return found if math.isfinite(found) else math.inf
