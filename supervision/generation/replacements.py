"""Which elements may replace an element of a crystal, and how plausible each replacement is.

Of ions the plausibility is data-mined: the conditional probability by which pymatgen predicts
structures, from the compounds of the ICSD that are isostructural (Hautier, Fischer, Ehrlacher, Jain
and Ceder, Inorg. Chem. 50, 656, 2011). Metals and intermetallic compounds have no ions: there it is
the mean of that probability over elements as near to each other in the periodic table or on the
scale of Pettifor (Solid State Commun. 51, 31, 1984), so that all sources have one scale.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from supervision.data.element_tables import MAX_ATOMIC_NUMBER
from supervision.models.composition.charge import balanced_charges

if TYPE_CHECKING:
    from pymatgen.core import Composition

DATA_MINED, GROUP, PETTIFOR = SOURCES = ("data-mined", "group", "Pettifor")
# The mean probability of a replacement, weighted by how often the replaced ion occurs, by the
# difference of the periods within a group (0 of lanthanides), and by that of Mendeleev numbers.
BY_PERIODS: Mapping[int, float] = {0: 0.024, 1: 0.045, 2: 0.023}
BY_MENDELEEV_NUMBERS: Mapping[int, float] = {1: 0.057, 2: 0.021}


class Replacement(NamedTuple):
    """An element that may replace another one.

    Attributes:
        host, dopant: the element that is replaced, and that which replaces it.
        plausibility: 0 to 1; how probable it is that the dopant has the place of the host.
        source: what says so, one of ``SOURCES``.
    """

    host: str
    dopant: str
    plausibility: float
    source: str


def replacements(composition: "Composition", least: float) -> list[Replacement]:
    """The replacements of each element that are plausible enough; dopants are H to Pu.

    Where the charges of the elements balance and the host's ion is among the 230 of the data, the
    replacement is data-mined; else the dopant is a neighbour in the group or on Pettifor's scale,
    and the more plausible of both counts.

    Args:
        least: the least plausibility.

    Returns them by host in alphabetical order, the most plausible first.
    """
    charges = balanced_charges(composition) or {}
    found = []
    for host in sorted({element.symbol for element in composition}):
        own = [r for r in _replacements(host, charges.get(host)) if r.plausibility >= least]
        found += sorted(own, key=lambda r: (-r.plausibility, r.dopant))
    return found


@cache
def _replacements(host: str, charge: float | None) -> tuple[Replacement, ...]:
    """Those of one element, of ions with their charge."""
    mined = {} if charge is None else data_mined(host, charge)
    if mined:
        found = {dopant: (probability, DATA_MINED) for dopant, probability in mined.items()}
    else:
        neighbours = {dopant: _as_neighbours(host, dopant) for dopant in _elements()}
        found = {dopant: nearest for dopant, nearest in neighbours.items() if nearest}
    return tuple(Replacement(host, d, *said) for d, said in found.items() if d != host)


def data_mined(host: str, charge: float) -> dict[str, float]:
    """The probability of each element, H to Pu, in the place of an ion; that of itself, too.

    It is ``SubstitutionProbability.cond_prob`` of pymatgen, summed over the charges of an element.
    Empty for an ion that is not among the data.
    """
    from pymatgen.core import Species

    model, fixed = _model(), Species(host, charge)
    found: dict[str, float] = {}
    if fixed in model.species:
        for ion in sorted(model.species):
            if ion.Z <= MAX_ATOMIC_NUMBER:
                symbol = ion.element.symbol
                found[symbol] = found.get(symbol, 0.0) + model.cond_prob(ion, fixed)
    return found


def _as_neighbours(host: str, dopant: str) -> tuple[float, str] | None:
    """The plausibility of elements that are neighbours, and its source; None of others.

    Hydrogen is no alkali metal.
    """
    from pymatgen.core import Element

    one, other = Element(host), Element(dopant)
    apart = abs(int(one.mendeleev_no) - int(other.mendeleev_no))
    found = [(BY_MENDELEEV_NUMBERS[apart], PETTIFOR)] if apart in BY_MENDELEEV_NUMBERS else []
    if one.group == other.group and "H" not in (host, dopant):
        periods = abs(one.row - other.row)
        found += [(BY_PERIODS[periods], GROUP)] if periods in BY_PERIODS else []
    return max(found, default=None)


@cache
def _elements() -> tuple[str, ...]:
    """The symbols of the elements that models read."""
    from pymatgen.core import Element

    return tuple(Element.from_Z(z).symbol for z in range(1, MAX_ATOMIC_NUMBER + 1))


@cache
def _model() -> Any:
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    return SubstitutionProbability()
