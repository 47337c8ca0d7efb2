"""The answer for one crystal: Tc, how sure it is, what it is based on, and what to beware of."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from supervision.answer.known import Neighbour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAN = math.nan
WIDE = 10.0  # K; a Tc whose interval is wider is shown without decimals


@dataclass(frozen=True)
class Answer:
    """What a model says of one crystal. Temperatures are in kelvin; NaN is what is not known.

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

    @property
    def decimals(self) -> int:
        """How many decimals of its temperatures mean something."""
        return 0 if self.tc_upper - self.tc_lower >= WIDE else 1

    def plot(self) -> "Figure":
        """A figure of Tc, interval, members and nearest known materials.

        Raises ValueError for an answer that has an error.
        """
        from supervision.answer.plot import answer_figure  # matplotlib is imported where it draws

        return answer_figure(self)

    def to_row(self) -> dict[str, Any]:
        """Plain values for JSON: None for NaN, lists and dictionaries for what is nested."""
        row = asdict(self)
        row |= {"nearest": [n._asdict() for n in self.nearest], "remarks": list(self.remarks)}
        return {key: _plain(value) for key, value in row.items()}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Answer":
        """The answer that ``to_row`` wrote; what a model of another version lacks is not known."""
        given = {k: v for k, v in row.items() if k in cls.__dataclass_fields__ and v is not None}
        given["nearest"] = tuple(Neighbour(**n) for n in given.get("nearest", ()))
        given["remarks"] = tuple(given.get("remarks", ()))
        return cls(**given)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
