"""The doping series that a crystal belongs to: measured Tc beside predicted ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from supervision.answer.known import KnownMaterials
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.formulas import readable_formula

TOGETHER = 0.8  # of the largest variation; elements that vary as much replace each other
REACH = 0.3  # distance in composition; a series of dopings is within it
Predict = Callable[[Sequence[Crystal]], np.ndarray]


class DopingPoint(NamedTuple):
    """A material of a series: its share of the element, measured and predicted Tc in kelvin."""

    formula: str
    fraction: float
    tc_kelvin: float
    tc_predicted: float


@dataclass(frozen=True)
class DopingSeries:
    """Measured materials near to a crystal.

    Attributes:
        element: whose atomic fraction varies most.
        points: by its fraction, the lowest first.
        fraction: of the crystal.
    """

    element: str
    points: tuple[DopingPoint, ...]
    fraction: float


def doping_series(
    known: KnownMaterials, crystal: Crystal, predict: Predict | None
) -> DopingSeries | None:
    """The measured materials of a series within ``REACH`` of a crystal; None for fewer than two.

    The series has the elements of the crystal, or these and a further one: those of which most
    materials are known. What lacks the element that varies belongs to it, too.

    Args:
        predict: Tc of formulas in kelvin; None: nothing predicts them. The model has learned from
            these materials: how near its predictions are says how it reads the series, not how well
            it predicts new ones.
    """
    own = atomic_fractions(crystal.composition).astype(np.float32)
    near = np.flatnonzero((known.distances(own) <= REACH) & ~known.is_computed)
    has = known.fractions[near] > 0  # [n, 118]
    elements = _elements_of_series(has, own > 0)
    same = (has == elements).all(axis=1)
    varying = _varying(np.vstack([known.fractions[near[same]], own]))
    undoped = elements & (np.arange(len(elements)) != varying)
    rows = near[same | (has == undoped).all(axis=1)]
    if len(rows) < 2:
        return None
    rows = rows[np.argsort(known.fractions[rows, varying], kind="stable")]
    formulas = [known.formulas[row] for row in rows.tolist()]
    predicted = np.full(len(rows), np.nan)
    if predict:
        predicted = predict([Crystal(formula, formula, "") for formula in formulas])
    columns = (
        map(readable_formula, formulas),
        known.fractions[rows, varying],
        known.tc[rows],
        predicted,
    )
    points = (DopingPoint(name, *map(float, rest)) for name, *rest in zip(*columns, strict=True))
    return DopingSeries(Element.from_Z(varying + 1).symbol, tuple(points), float(own[varying]))


def _elements_of_series(has: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The elements of the series of a crystal with ``own`` [118], among materials ``[n, 118]``."""
    further = has[(has >= own).all(axis=1)] & ~own  # of those that lack none of its elements
    with_one = further[further.sum(axis=1) == 1].sum(axis=0)
    elements = own.copy()
    if with_one.max() > (~further.any(axis=1)).sum():
        elements[with_one.argmax()] = True
    return elements


def _varying(fractions: np.ndarray) -> int:
    """The element that varies most in compositions ``[n, 118]``, as an index.

    The middle half of the compositions counts, as another compound can be near. Of elements that
    vary together, such as La and Sr in La2-xSrxCuO4, it is the rarest: the dopant.
    """
    low, high = np.quantile(fractions, (0.25, 0.75), axis=0)
    mean = fractions.mean(axis=0)
    together = (high - low >= TOGETHER * (high - low).max()) & (mean > 0)
    return int(np.where(together, mean, np.inf).argmin())
