"""Tc of a crystal as other elements replace some of its own, beside the measured materials."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from supervision.answer.answer import Answer
from supervision.answer.domain import KNOWN_DISTANCE
from supervision.answer.known import KnownMaterials
from supervision.data.cif_writer import structure_to_cif
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.elements import element
from supervision.data.errors import CrystalError
from supervision.data.formulas import formula_term, readable_formula, structure_formula
from supervision.data.splits import APART
from supervision.data.substitution import (
    FRACTION_DECIMALS,
    Substitution,
    dopant_fraction,
    substituted,
)

if TYPE_CHECKING:
    from pymatgen.core import Composition

CURVE_POINTS = 41
EXACT = 1e-3  # distance in composition that formulas with two decimals have from another
Ask = Callable[[Sequence[Crystal]], Sequence[Answer]]


@dataclass(frozen=True)
class DopedPoint:
    """A doped crystal with its answer.

    Attributes:
        fractions: of each dopant, on the sites of its host.
        formula: of the formula unit of the undoped crystal.
    """

    fractions: tuple[float, ...]
    formula: str
    answer: Answer

    @property
    def distance(self) -> float:
        """In composition to the nearest measured material; NaN where none is known."""
        return self.answer.nearest[0].distance if self.answer.nearest else math.nan

    @property
    def has_support(self) -> bool:
        """Whether a measured material is within 0.2 in composition, as those of one series are."""
        return self.distance <= APART


class MeasuredPoint(NamedTuple):
    """A measured material that the model has learned from.

    Attributes:
        fractions: of each dopant, by its ratio to the host.
        tc_kelvin: 0 where none was reported.
        distance: in composition to the doped crystal of these fractions.
    """

    formula: str
    fractions: tuple[float, ...]
    tc_kelvin: float
    distance: float

    @property
    def is_exact(self) -> bool:
        """Whether the composition is that of the doped crystal, but for rounding."""
        return self.distance <= EXACT


@dataclass(frozen=True)
class Doping:
    """Tc against the fraction of a dopant, or over those of two.

    Attributes:
        undoped: the formula without the dopants.
        axes: the fractions of each dopant.
        points: a point for each combination of the axes; the last one changes first.
        measured: materials that the model has learned from and that lie on the curve or the map, by
            their fractions.
        has_known: whether the model carries the materials that it has learned from.
        own: the fractions of the crystal that was given.
    """

    undoped: str
    substitutions: tuple[Substitution, ...]
    axes: tuple[np.ndarray, ...]
    points: tuple[DopedPoint, ...]
    measured: tuple[MeasuredPoint, ...]
    has_known: bool
    own: tuple[float, ...]

    @property
    def is_map(self) -> bool:
        """Whether there are two dopants."""
        return len(self.substitutions) > 1

    @property
    def predicted(self) -> list[DopedPoint]:
        """The points that have a Tc."""
        return [point for point in self.points if not point.answer.error]

    @property
    def highest(self) -> DopedPoint:
        """The point of highest predicted Tc."""
        return max(self.predicted, key=lambda point: point.answer.tc_kelvin)

    def grid(self, values: Sequence[Any]) -> np.ndarray:
        """Values of the points in the shape of the axes."""
        return np.array(values).reshape([len(axis) for axis in self.axes])


def doping(
    ask: Ask,
    known: KnownMaterials | None,
    crystal: Crystal,
    substitutions: Sequence[Substitution],
    axes: Sequence[np.ndarray],
) -> Doping:
    """The Tc of a crystal over fractions of its hosts that dopants replace.

    Every site of a host takes part alike; positions and cell stay those of the crystal.

    Args:
        ask: the answers to crystals.
        known: the materials that the model has learned from.
        axes: the fractions of each dopant, the lowest first.

    Raises CrystalError with one sentence for a host that the crystal lacks, and where no point can
    be predicted.
    """
    combinations = list(product(*(axis.tolist() for axis in axes)))
    crystals = [doped(crystal, substitutions, fractions) for fractions in combinations]
    answers = ask(crystals)
    if all(answer.error for answer in answers):
        raise CrystalError(f"{answers[0].name}: {answers[0].error}")
    formulas = _formulas(crystals, substitutions)
    measured = [] if known is None else _measured(known, crystal, substitutions)
    highest = [axis[-1] for axis in axes]
    return Doping(
        undoped=formulas[0],
        substitutions=tuple(substitutions),
        axes=tuple(axes),
        points=tuple(map(DopedPoint, combinations, formulas, answers)),
        measured=tuple(m for m in measured if np.all(np.array(m.fractions) <= highest)),
        has_known=known is not None,
        own=tuple(dopant_fraction(crystal.structure, *pair) for pair in substitutions),
    )


def fractions_to(highest: float, points: int) -> np.ndarray:
    """Equally spaced fractions from 0 on, ``[points]``."""
    return np.linspace(0, highest, points).round(FRACTION_DECIMALS)


def doped(
    crystal: Crystal, substitutions: Sequence[Substitution], fractions: Sequence[float]
) -> Crystal:
    """The crystal with fractions of the hosts replaced by the dopants, named by what it is.

    Raises CrystalError with one sentence.
    """
    structure = crystal.structure
    for (host, dopant), fraction in zip(substitutions, fractions, strict=True):
        structure = substituted(structure, host, dopant, fraction)
    name = structure_formula(structure)
    return Crystal(name, name, structure_to_cif(structure))


# --- formulas


def _formulas(crystals: Sequence[Crystal], substitutions: Sequence[Substitution]) -> list[str]:
    """The formula of each crystal per formula unit of the first, dopants behind their hosts."""
    undoped = crystals[0].composition
    _, units = undoped.get_reduced_composition_and_factor()
    symbols = [el.symbol for el in undoped.reduced_composition]
    for host, dopant in substitutions:
        if dopant not in symbols:
            symbols.insert(symbols.index(host) + 1, dopant)
    return [_in_order(c.composition, symbols, units) for c in crystals]


def _in_order(composition: "Composition", symbols: Sequence[str], units: float) -> str:
    return "".join(formula_term(symbol, composition[symbol] / units) for symbol in symbols)


# --- measured materials


def _measured(
    known: KnownMaterials, crystal: Crystal, substitutions: Sequence[Substitution]
) -> list[MeasuredPoint]:
    """Measured materials within 0.02 of the doped crystal with their ratios dopant / host."""
    base = _doped_amounts(crystal, substitutions, np.zeros(len(substitutions)))
    full = [
        _doped_amounts(crystal, substitutions, row) - base for row in np.eye(len(substitutions))
    ]
    allowed = np.any([base, *(np.abs(change) for change in full)], axis=0)
    rows = np.flatnonzero(~known.is_computed & ~known.fractions[:, ~allowed].any(axis=1))
    fractions = known.fractions[rows]
    shares = [_shares(fractions, base, one) for one in substitutions]
    expected = base + sum(map(np.multiply.outer, shares, full))
    expected /= expected.sum(axis=1, keepdims=True)
    distance = np.abs(fractions - expected).sum(axis=1)
    found = [
        MeasuredPoint(readable_formula(known.formulas[row]), own, float(known.tc[row]), float(away))
        for row, own, away in zip(rows.tolist(), zip(*shares, strict=True), distance, strict=True)
        if away <= KNOWN_DISTANCE
    ]
    return sorted(found, key=lambda point: point.fractions)


def _doped_amounts(
    crystal: Crystal, substitutions: Sequence[Substitution], fractions: np.ndarray
) -> np.ndarray:
    """Atoms in the cell of the doped crystal by atomic number, ``[118]``."""
    composition = doped(crystal, substitutions, fractions.tolist()).composition
    return atomic_fractions(composition) * composition.num_atoms


def _shares(fractions: np.ndarray, base: np.ndarray, pair: Substitution) -> list[float]:
    """The fraction x of the dopant on the sites of the host, for compositions ``[n, 118]``, [n].

    With t sites of the host and d atoms of the dopant elsewhere, dopant / host is
    q = (x t + d) / ((1 - x) t), so that x = (q t - d) / (q t + t).
    """
    host, dopant = (element(name).number - 1 for name in pair)
    t, d = base[host], base[dopant]
    of_host, of_dopant = fractions[:, host], fractions[:, dopant]
    shares = (of_dopant * t - of_host * d) / np.maximum((of_dopant + of_host) * t, 1e-12)
    return list(np.clip(shares, 0, 1).astype(float).round(FRACTION_DECIMALS).tolist())
