"""The sites of a disordered crystal as arrays, and the element classes and properties they need."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element

from supervision.data.element_tables import MAX_ATOMIC_NUMBER, atomic_number, magpie, magpie_names
from supervision.data.elements import ELEMENTS

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True, eq=False)
class Sites:
    """What occupies the sites of a cell.

    Attributes:
        amounts: [n, 94] atoms of each element on each site; a row has a sum below 1 where the site
            is partly vacant.
        occupancy: [n] atoms of all elements on each site.
    """

    amounts: np.ndarray
    occupancy: np.ndarray

    def mean_of(self, values: np.ndarray) -> np.ndarray:
        """The mean of an element property [94] over the atoms on each site, [n]."""
        return self.amounts @ values / self.occupancy

    def amount_of(self, elements: np.ndarray) -> np.ndarray:
        """Atoms of the selected elements (bool [94]) on each site, [n]."""
        return self.amounts @ elements.astype(float)

    def mostly(self, elements: np.ndarray) -> np.ndarray:
        """Whether at least half of the atoms on each site are selected elements, [n]."""
        return self.amount_of(elements) >= 0.5 * self.occupancy


def read_sites(structure: "Structure") -> Sites:
    """The sites of a structure. Raises ValueError for an element beyond Pu."""
    amounts = np.zeros((len(structure), MAX_ATOMIC_NUMBER))
    for row, site in zip(amounts, structure, strict=True):
        for atom, amount in site.species.items():
            row[atomic_number(atom) - 1] += amount
    return Sites(amounts, amounts.sum(axis=1))


# --- element properties, [94] each


def magpie_property(name: str) -> np.ndarray:
    """A column of Magpie's table, [94]."""
    return magpie()[:, magpie_names().index(name)]


def covalent_radius() -> np.ndarray:
    """Covalent radii in angstrom (Cordero et al., Dalton Trans. 2832, 2008)."""
    return magpie_property("CovalentRadius") / 100


@cache
def electron_affinity() -> np.ndarray:
    """Electron affinities in electronvolt, from pymatgen's table."""
    return _by_element(lambda element: float(element.electron_affinity))


@cache
def valence_electrons() -> np.ndarray:
    """Electrons outside closed shells (``supervision.data.elements``)."""
    return _by_element(lambda element: float(ELEMENTS[element.symbol].valence_electrons))


@cache
def d_electrons() -> np.ndarray:
    """Electrons of the open d shell (``supervision.data.elements``)."""
    return _by_element(lambda element: float(ELEMENTS[element.symbol].d_electrons))


# --- element classes, bool [94] each


@cache
def elements(symbols: str) -> np.ndarray:
    """The class of the elements whose symbols are listed, separated by spaces."""
    listed = symbols.split()
    return _by_element(lambda element: element.symbol in listed)


@cache
def transition_metals() -> np.ndarray:
    """Groups 4 to 11, whose d bands can be at the Fermi level."""
    return _by_element(lambda element: 4 <= element.group <= 11)


@cache
def f_elements() -> np.ndarray:
    """Lanthanides and actinides."""
    return _by_element(lambda element: element.is_lanthanoid or element.is_actinoid)


@cache
def framework_elements() -> np.ndarray:
    """Hydrogen and groups 4 to 17, which form the conducting part of most crystals.

    Alkali and alkaline earth metals, group 3 and f elements mostly give their electrons away.
    """
    return _by_element(lambda element: element.Z == 1 or 4 <= element.group <= 17)


@cache
def ligands() -> np.ndarray:
    """Non-metals and metalloids, which form polyhedra around metals."""
    return elements("B C N O F Si P S Cl Ge As Se Br Sb Te I")


def _by_element(value: Callable[[Element], float | bool]) -> np.ndarray:
    return np.array([value(Element.from_Z(z)) for z in range(1, MAX_ATOMIC_NUMBER + 1)])
