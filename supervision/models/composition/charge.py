"""Charge features: the valences of Cu, Fe and Ni that neutrality asks for, and cuprate doping.

All other elements have a fixed charge, one of the common oxidation states that pymatgen lists
(``Element.common_oxidation_states``): of anions the negative one, of others the one that they have
in layered oxides, pnictides and chalcogenides. Some have another one beside oxygen. Metals and
intermetallic compounds have no such charges: there the valences are NaN, or one more statistic.
"""

from functools import cache

import numpy as np
from pymatgen.core import Composition, Element

from supervision.data.composition_distance import atomic_fractions
from supervision.data.element_tables import MAX_ATOMIC_NUMBER

CHARGES = {
    -4: "C",
    -3: "N P As Sb",
    -2: "O S Se Te",
    -1: "F Cl Br I",
    1: "H Li Na K Rb Cs Ag Tl",
    2: "Be Mg Ca Sr Ba Mn Fe Ni Cu Zn Cd Hg Sn Pb Eu",
    3: "B Al Sc Cr Co Ga Y Rh In La Ce Pr Nd Pm Sm Gd Tb Dy Ho Er Tm Yb Lu Ir Au Bi Ac",
    4: "Si Ti Ge Zr Tc Ru Pd Hf Re Os Pt Th Pu",
    5: "V Nb Ta Np Pa",
    6: "Mo W U",
}
CUPRATE_CHARGES = {"Ce": 4, "Eu": 3, "Tl": 3}  # beside Cu and O: 3, 2 and 1 elsewhere
OXOANION_CHARGES = {"C": 4, "N": 5, "P": 5, "As": 5, "Sb": 5, "S": 6, "Se": 4, "Te": 4}
OXOANION_RATIO = 2  # more oxygen per such atom, as in carbonates and phosphates
IONS = ("Cu", "Fe", "Ni")
HIGHEST_VALENCE = 4
OPTIMAL_HOLES, DOME_CURVATURE = 0.16, 82.6
MAX_NET_CHARGE = 0.25  # per atom; what carriers compensate in a doped compound
DECIMALS = 6  # else rounding of the fractions would tell equal compositions apart


def charge_features(fractions: np.ndarray) -> np.ndarray:
    """``[n, 7]`` features of atomic fractions ``[n, 94]``; columns are ``charge_feature_names``.

    - charge balance: the sum of all charges per atom, with Cu, Fe and Ni as 2+.
    - anion fraction: the fraction of atoms of negative charge.
    - valence Cu, Fe, Ni: the average valence that makes the charge balance zero, the others being
      2+. NaN without the element, and outside 0 to 4, where the charges do not hold.
    - holes per Cu: valence Cu - 2 of oxides, averaged over all Cu; NaN without Cu and O.
    - dome: Tc / highest Tc of the series = 1 - 82.6 (holes - 0.16)^2, and 0 where that is negative
      (Presland, Tallon et al., Physica C 176, 95, 1991, eq. 1). NaN where the holes are.

    Unknown is NaN, not 0: trees then divide the range of what is known.
    """
    charges = ionic_charges(fractions)
    balance = (charges * fractions).sum(axis=1)
    valences = [_valence(balance, fractions[:, _index(ion)]) for ion in IONS]
    holes = np.where(fractions[:, _index("O")] > 0, valences[0] - 2, np.nan)
    dome = np.maximum(1 - DOME_CURVATURE * (holes - OPTIMAL_HOLES) ** 2, 0)
    anions = np.where(charges < 0, fractions, 0).sum(axis=1)
    columns = np.stack([balance, anions, *valences, holes, dome], axis=1)
    return columns.round(DECIMALS) + 0.0  # no negative zero


def charge_feature_names() -> list[str]:
    """The names of the columns of ``charge_features``."""
    valences = [f"valence {ion}" for ion in IONS]
    return ["charge balance", "anion fraction", *valences, "holes per Cu", "dome"]


def ionic_charges(fractions: np.ndarray) -> np.ndarray:
    """The charge of each element in each composition, ``[n, 94]``, from fractions ``[n, 94]``.

    Cu, Fe and Ni are 2+. Metals have no such charges: there they do not balance.
    """
    charges = np.tile(_charge_table(), (len(fractions), 1))
    oxygen, copper, iron, nickel = (fractions[:, _index(el)] for el in ("O", "Cu", "Fe", "Ni"))
    for symbol, charge in CUPRATE_CHARGES.items():
        charges[(oxygen > 0) & (copper > 0), _index(symbol)] = charge
    for symbol, charge in OXOANION_CHARGES.items():
        surrounded = oxygen > OXOANION_RATIO * fractions[:, _index(symbol)]
        bound_to_iron = iron + nickel > 0  # Sr2VO3FeAs holds As 3-, whatever its oxygen
        charges[surrounded & ~bound_to_iron, _index(symbol)] = charge
    return charges


def balanced_charges(composition: Composition) -> dict[str, float] | None:
    """The charge of each element of a composition; None where they do not balance.

    They balance where there is an anion and the net charge is within ``MAX_NET_CHARGE`` per atom,
    which no metal or intermetallic compound and no element beyond Pu is.
    """
    elements = {element.Z: element.symbol for element in composition}
    if max(elements) > MAX_ATOMIC_NUMBER:
        return None
    fractions = atomic_fractions(composition)[None, :MAX_ATOMIC_NUMBER]
    charges = ionic_charges(fractions)[0]
    if (charges * fractions[0]).min() >= 0 or abs(charges @ fractions[0]) > MAX_NET_CHARGE:
        return None
    return {symbol: float(charges[z - 1]) for z, symbol in elements.items()}


def _valence(balance: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """The valence of an ion that would balance the charges, ``[n]``; the balance has it as 2+."""
    with np.errstate(divide="ignore", invalid="ignore"):
        valence = (2 - balance / fraction).round(DECIMALS)
    return np.where((valence >= 0) & (valence <= HIGHEST_VALENCE), valence, np.nan)


@cache
def _charge_table() -> np.ndarray:
    """Charges by atomic number, ``[94]``; 0 for elements that form hardly any compounds."""
    table = np.zeros(MAX_ATOMIC_NUMBER)
    for charge, symbols in CHARGES.items():
        table[[_index(symbol) for symbol in symbols.split()]] = charge
    return table


@cache
def _index(symbol: str) -> int:
    return Element(symbol).Z - 1
