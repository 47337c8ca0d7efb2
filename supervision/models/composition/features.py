"""Composition features: Magpie's statistics of element properties, element fractions, charges.

Ward et al., npj Comput. Mater. 2, 16028 (2016): six statistics of 22 element properties, weighted
by atomic fraction.
"""

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Composition, Element

from supervision.data.element_tables import MAX_ATOMIC_NUMBER, atomic_number, magpie, magpie_names
from supervision.data.errors import CrystalError
from supervision.models.composition.charge import charge_feature_names, charge_features

STATISTICS = ("mean", "deviation", "minimum", "maximum", "range", "mode")
PROPERTIES = 22
FRACTIONS = slice(len(STATISTICS) * PROPERTIES, len(STATISTICS) * PROPERTIES + MAX_ATOMIC_NUMBER)


def composition_features(compositions: Sequence[Composition]) -> np.ndarray:
    """``[n, 6 * 22 + 94 + 7]`` features of compositions, which need not be normalised.

    ``deviation`` is the mean absolute deviation. ``mode`` is the property of the most abundant
    element, or the mean over all of them. Charge features may be NaN (``charge_features``). Raises
    CrystalError for an element beyond Pu.
    """
    fractions = np.stack([_atomic_fractions(composition) for composition in compositions])
    table = magpie()  # [94, 22]
    present = (fractions > 0)[..., None]  # [n, 94, 1]
    mean = fractions @ table
    deviation = np.einsum("ne,nep->np", fractions, np.abs(table - mean[:, None]))
    lowest = np.where(present, table, np.inf).min(axis=1)
    highest = np.where(present, table, -np.inf).max(axis=1)
    most_abundant = np.isclose(fractions, fractions.max(axis=1, keepdims=True))
    mode = most_abundant @ table / most_abundant.sum(axis=1, keepdims=True)
    statistics = [mean, deviation, lowest, highest, highest - lowest, mode]
    return np.concatenate([*statistics, fractions, charge_features(fractions)], axis=1)


def feature_names() -> list[str]:
    """The names of the columns of ``composition_features``."""
    statistics = [f"{statistic} {name}" for statistic in STATISTICS for name in magpie_names()]
    symbols = [Element.from_Z(z).symbol for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    return [*statistics, *(f"fraction {symbol}" for symbol in symbols), *charge_feature_names()]


def _atomic_fractions(composition: Composition) -> np.ndarray:
    """Atomic fractions by atomic number, ``[94]``."""
    fractions = np.zeros(MAX_ATOMIC_NUMBER)
    try:
        for atom, amount in composition.items():
            fractions[atomic_number(atom) - 1] += amount
    except ValueError as error:
        raise CrystalError(str(error)) from error
    return fractions / fractions.sum()
