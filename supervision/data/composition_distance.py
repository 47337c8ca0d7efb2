"""How far apart two compositions are: the sum of absolute differences of their atomic fractions.

0 for the same composition, 2 for two without a common element. La2CuO4 and La1.85Sr0.15CuO4 are
0.043 apart, NbN and NbC are 1 apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.crystals import parse_formula

if TYPE_CHECKING:
    from pymatgen.core import Composition

ELEMENTS = 118
BLOCK_ROWS = 512  # bounds the memory


def fraction_matrix(formulas: Sequence[str]) -> np.ndarray:
    """Atomic fractions by atomic number, ``[n, 118]``; hydrogen's isotopes are hydrogen.

    Raises CrystalError for a text that is not a formula.
    """
    return np.array([atomic_fractions(parse_formula(formula)) for formula in formulas]).reshape(
        len(formulas), ELEMENTS
    )


def atomic_fractions(composition: "Composition") -> np.ndarray:
    """Atomic fractions of a composition by atomic number, ``[118]``."""
    fractions = np.zeros(ELEMENTS)
    for element, amount in composition.items():
        fractions[element.Z - 1] += amount
    return fractions / fractions.sum()


def to_sparse(fractions: np.ndarray) -> dict[str, np.ndarray]:
    """Atomic fractions ``[n, e]`` as arrays of the elements that occur, to be saved."""
    row, element = np.nonzero(fractions)
    return {
        "elements_of_row": np.bincount(row, minlength=len(fractions)).astype(np.uint8),
        "element": element.astype(np.uint8),
        "fraction": fractions[row, element],
    }


def from_sparse(arrays: Mapping[str, np.ndarray], elements: int) -> np.ndarray:
    """The inverse of ``to_sparse``: ``[n, elements]``."""
    count = arrays["elements_of_row"]
    # One element after another, as ``distances_to`` reads a few elements of all rows.
    fractions = np.zeros((len(count), elements), dtype=arrays["fraction"].dtype, order="F")
    fractions[np.repeat(np.arange(len(count)), count), arrays["element"]] = arrays["fraction"]
    return fractions


def distances_to(to: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The distances of a composition ``[e]`` to those of ``to`` ``[m, e]``, [m].

    2 minus twice what two compositions share, which needs the elements of one alone.
    """
    shared = np.zeros(len(to), dtype=to.dtype)
    for element in np.flatnonzero(fractions):
        shared += np.minimum(to[:, element], fractions[element])
    return np.maximum(2 - 2 * shared, 0)


def nearest_distance(fractions: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The distance of each composition ``[n, e]`` to the nearest one of ``to`` ``[m, e]``, [n].

    Infinite where ``to`` is empty.
    """
    if not len(to):
        return np.full(len(fractions), np.inf)
    blocks = [distances.min(axis=1) for distances in _distances(fractions, to)]
    return np.concatenate([np.empty(0), *blocks])


def nearest_index(fractions: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The row in ``to`` ``[m, e]`` of the nearest composition, for each of ``[n, e]``, [n]."""
    blocks = [distances.argmin(axis=1) for distances in _distances(fractions, to)]
    return np.concatenate([np.empty(0, dtype=int), *blocks])


def _distances(fractions: np.ndarray, to: np.ndarray) -> Iterator[np.ndarray]:
    """The distances ``[b, m]``, BLOCK_ROWS rows at a time."""
    from scipy.spatial.distance import cdist

    for start in range(0, len(fractions), BLOCK_ROWS):
        yield cdist(fractions[start : start + BLOCK_ROWS], to, "cityblock")
