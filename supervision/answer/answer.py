"""The answer for one crystal: Tc, how sure it is, what it is based on, and what to beware of."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from supervision.answer.columns import fields_of, named
from supervision.answer.known import Neighbour
from supervision.data.quantity import TC, Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAN = math.nan
MOST_DECIMALS = 4
WIDE = 10.0  # K; a Tc whose interval is wider is shown without decimals


@dataclass(frozen=True)
class Answer:
    """What a model says of one crystal. Temperatures are in kelvin; NaN is what is not known.

    Of another quantity than Tc, what is said of Tc is said of it, in its unit, without
    probabilities; ``to_row`` gives its values the name of the quantity.

    Attributes:
        name: of the file or row that was given.
        formula: of the unit cell, reduced; empty where it cannot be read.
        atoms: in the unit cell, after symmetry; 0 for a formula alone.
        is_disordered: whether a site is mixed or partly occupied.
        tc_kelvin: the predicted Tc.
        tc_lower, tc_upper: where the measured Tc is with a probability of 90%.
        p_superconducting: the probability that a Tc is reported.
        p_above_10, p_above_20, p_above_40: the probability of a Tc above so many kelvin.
        domain: one of ``supervision.answer.domain.DOMAINS``.
        domain_error: the mean absolute error of the model for materials of that domain.
        nearest: the measured materials nearest in composition that the model has learned from.
        members: the Tc by each model of an ensemble.
        remarks: sentences on what limits the answer.
        model_version: which model this is.
        error: why there is no answer, one sentence; empty where there is one.
        quantity: what is predicted.
    """

    name: str
    formula: str = ""
    atoms: int = 0
    is_disordered: bool = False
    tc_kelvin: float = NAN
    tc_lower: float = NAN
    tc_upper: float = NAN
    p_superconducting: float = NAN
    p_above_10: float = NAN
    p_above_20: float = NAN
    p_above_40: float = NAN
    domain: str = ""
    domain_error: float = NAN
    nearest: tuple[Neighbour, ...] = ()
    members: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    model_version: str = ""
    error: str = ""
    quantity: Quantity = TC

    @property
    def decimals(self) -> int:
        """How many decimals of its values mean something.

        Those of another quantity than Tc have two digits of the width of the interval or, without
        one, three digits of the value.
        """
        if not self.quantity.is_tc:
            width = self.tc_upper - self.tc_lower
            size, digits = (width, 2) if math.isfinite(width) else (abs(self.tc_kelvin), 3)
            places = digits - 1 - math.floor(math.log10(size)) if size > 0 else digits - 1
            return min(max(0, places), MOST_DECIMALS)
        return 0 if self.tc_upper - self.tc_lower >= WIDE else 1

    def plot(self) -> "Figure":
        """A figure of Tc, interval, members and nearest known materials.

        Raises ValueError for an answer that has an error.
        """
        from supervision.answer.plot import answer_figure  # matplotlib is imported where it draws

        return answer_figure(self)

    def to_row(self) -> dict[str, Any]:
        """Plain values for JSON: None for NaN, lists and dictionaries for what is nested."""
        fields = {key: _plain(value) for key, value in asdict(self).items() if key != "quantity"}
        nearest = [named(n._asdict(), self.quantity) for n in self.nearest]
        fields |= {"nearest": nearest, "remarks": list(self.remarks)}
        return named(fields, self.quantity) | self._quantity_cells()

    def fields(self) -> dict[str, Any]:
        """The fields as they are, under the names of the quantity."""
        fields = {key: value for key, value in vars(self).items() if key != "quantity"}
        return named(fields, self.quantity) | self._quantity_cells()

    def _quantity_cells(self) -> dict[str, str]:
        """Of another quantity than Tc, its name and unit."""
        quantity = self.quantity
        return {} if quantity.is_tc else {"quantity": quantity.name, "unit": quantity.unit}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Answer":
        """The answer that ``to_row`` wrote; what a model of another version lacks is not known."""
        quantity = Quantity.of(row.get("quantity") or TC.name, row.get("unit") or "")
        row = fields_of(row, quantity)
        given = {k: v for k, v in row.items() if k in cls.__dataclass_fields__ and v is not None}
        nearest = (fields_of(n, quantity) for n in given.get("nearest", ()))
        given["nearest"] = tuple(Neighbour(**n) for n in nearest)
        given["quantity"] = quantity
        given["remarks"] = tuple(given.get("remarks", ()))
        return cls(**given)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
