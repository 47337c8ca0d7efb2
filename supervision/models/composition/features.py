"""What a composition says by itself: Magpie's statistics and the share of each element.

Ward et al., npj Comput. Mater. 2, 16028 (2016): of 22 properties of the elements, six statistics
weighted by atomic fraction.
"""

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Composition, Element

from supervision.data.element_tables import LAST, atomic_number, magpie, magpie_names
from supervision.data.errors import CrystalError

STATISTICS = ("mean", "deviation", "minimum", "maximum", "range", "mode")


def feature_names() -> list[str]:
    """The columns of ``composition_features``."""
    statistics = [f"{statistic} {name}" for statistic in STATISTICS for name in magpie_names()]
    return statistics + [f"share {Element.from_Z(z).symbol}" for z in range(1, LAST + 1)]


def composition_features(compositions: Sequence[Composition]) -> np.ndarray:
    """``[n, 6 * 22 + 94]`` features of compositions, whose scale does not matter.

    The deviation is the mean absolute one; the mode is the property of the most abundant element
    (the mean over those, where several are). Raises CrystalError for an element beyond Pu.
    """
    shares = np.stack([_shares(composition) for composition in compositions])  # [n, 94]
    table = magpie()  # [94, 22]
    there = (shares > 0)[..., None]
    mean = shares @ table
    deviation = np.einsum("ne,nep->np", shares, np.abs(table - mean[:, None]))
    lowest = np.where(there, table, np.inf).min(axis=1)
    highest = np.where(there, table, -np.inf).max(axis=1)
    most = np.isclose(shares, shares.max(axis=1, keepdims=True))
    mode = most @ table / most.sum(axis=1, keepdims=True)
    statistics = [mean, deviation, lowest, highest, highest - lowest, mode]
    return np.concatenate([*statistics, shares], axis=1)


def _shares(composition: Composition) -> np.ndarray:
    """Atomic fractions by atomic number, ``[94]``."""
    shares = np.zeros(LAST)
    try:
        for atom, amount in composition.items():
            shares[atomic_number(atom) - 1] += amount
    except ValueError as error:
        raise CrystalError(str(error)) from error
    return shares / shares.sum()
