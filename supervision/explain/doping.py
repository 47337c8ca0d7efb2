"""The doping series that a crystal belongs to: measured Tc beside predicted ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from supervision.answer.known import KnownMaterials
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal

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


def doping_series(known: KnownMaterials, crystal: Crystal, predict: Predict) -> DopingSeries | None:
    """The measured materials within ``REACH`` that have the elements of a crystal, or one more or
    less; None where fewer than two have been learned from.

    Args:
        predict: Tc of formulas in kelvin. The model has learned from these materials: how near its
            predictions are says how it reads the series, not how well it predicts new ones.
    """
    own = atomic_fractions(crystal.composition).astype(np.float32)
    others = ((known.fractions > 0) != (own > 0)).sum(axis=1)
    rows = np.flatnonzero((known.distances(own) <= REACH) & (others <= 1) & ~known.is_computed)
    if len(rows) < 2:
        return None
    varying = _varying(np.vstack([known.fractions[rows], own]))
    rows = rows[np.argsort(known.fractions[rows, varying], kind="stable")]
    formulas = [known.formulas[row] for row in rows.tolist()]
    predicted = predict([Crystal(formula, formula, "") for formula in formulas])
    columns = (formulas, known.fractions[rows, varying], known.tc[rows], predicted)
    points = (DopingPoint(name, *map(float, rest)) for name, *rest in zip(*columns, strict=True))
    return DopingSeries(Element.from_Z(varying + 1).symbol, tuple(points), float(own[varying]))


def _varying(fractions: np.ndarray) -> int:
    """The element that varies most in compositions ``[n, 118]``, as an index.

    The middle half of the compositions counts, as another compound can be near. Of elements that
    vary together, such as La and Sr in La2-xSrxCuO4, it is the rarest: the dopant.
    """
    low, high = np.quantile(fractions, (0.25, 0.75), axis=0)
    mean = fractions.mean(axis=0)
    together = (high - low >= TOGETHER * (high - low).max()) & (mean > 0)
    return int(np.where(together, mean, np.inf).argmin())
