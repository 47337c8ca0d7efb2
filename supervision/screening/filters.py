"""What is left out of a ranking: by the structure before the model is asked, or by its answer."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from supervision.answer.domain import DOMAINS
from supervision.data.crystals import Crystal
from supervision.data.elements import ELEMENTS
from supervision.runtime.options import option

if TYPE_CHECKING:
    import pyarrow as pa

LEAST = {"min_lower": "tc_lower"} | {
    name: name for name in ("p_above_10", "p_above_20", "p_above_40", "novelty")
}  # filter -> the column that must be at least its value
HIGHEST = {"min_lower": math.inf, "novelty": 2.0}  # values of these filters; of others 1


@dataclass(frozen=True)
class StructureFilters:
    """Filters that save a prediction. Raises ValueError, naming the option, for a wrong value."""

    elements: str = option("", "elements that a candidate must have, by commas")
    without: str = option("", "elements that it must not have, by commas")
    max_atoms: int = option(0, "the most atoms in its cell; 0: any number")
    max_hull: float = option(
        math.inf, "the highest energy above the hull in eV per atom, of candidates that give it"
    )

    def __post_init__(self) -> None:
        for name in ("elements", "without"):
            unknown = _listed(getattr(self, name)) - set(ELEMENTS)
            if unknown:
                raise ValueError(f"{name}: '{min(unknown)}' is not the symbol of an element.")
        if self.max_atoms < 0:
            raise ValueError(f"max_atoms must be 0 (any number) or more, got {self.max_atoms}.")
        if math.isnan(self.max_hull):
            raise ValueError("max_hull must be a number of eV per atom, got nan.")

    @cached_property
    def _required(self) -> frozenset[str]:
        return _listed(self.elements)

    @cached_property
    def _excluded(self) -> frozenset[str]:
        return _listed(self.without)

    def refusal_by_energy(self, energy_above_hull: float | None) -> str:
        """``max_hull`` for a candidate that is above it, else empty."""
        above = energy_above_hull is not None and energy_above_hull > self.max_hull
        return "max_hull" if above else ""

    def refusal(self, crystal: Crystal) -> str:
        """The filter that leaves a crystal out; empty where none does. Raises CrystalError."""
        symbols = {element.symbol for element in crystal.composition}
        if not self._required <= symbols:
            return "elements"
        if self._excluded & symbols:
            return "without"
        has_atoms = self.max_atoms and crystal.cif
        return "max_atoms" if has_atoms and len(crystal.structure) > self.max_atoms else ""


@dataclass(frozen=True)
class AnswerFilters:
    """Filters of answers. Raises ValueError, naming the option, for a wrong value.

    An answer that lacks what a filter asks for does not pass it.
    """

    domain: str = option("", f"domains to keep, by commas: {', '.join(DOMAINS)}; empty: all")
    min_lower: float = option(0.0, "the least lower end of the 90% interval of Tc, K")
    p_above_10: float = option(0.0, "the least probability of a Tc above 10 K")
    p_above_20: float = option(0.0, "the least probability of a Tc above 20 K")
    p_above_40: float = option(0.0, "the least probability of a Tc above 40 K")
    novelty: float = option(
        0.0, "the least distance in composition (0 to 2) to a superconductor that the model knows"
    )

    def __post_init__(self) -> None:
        unknown = _listed(self.domain) - set(DOMAINS)
        if unknown:
            raise ValueError(f"domain: '{min(unknown)}' is not one of {', '.join(DOMAINS)}.")
        for name in LEAST:
            value, highest = getattr(self, name), HIGHEST.get(name, 1.0)
            if not 0 <= value <= highest:
                raise ValueError(f"{name} must be from 0 to {highest:g}, got {value:g}.")

    @property
    def given(self) -> list[str]:
        """The names of the filters that are given."""
        return [*(["domain"] if self.domain else []), *(n for n in LEAST if getattr(self, n) > 0)]

    def mask(self, name: str, answers: "pa.Table") -> "pa.ChunkedArray":
        """Whether each answer passes a filter."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name == "domain":
            return pc.is_in(answers["domain"], value_set=pa.array(sorted(_listed(self.domain))))
        return pc.greater_equal(answers[LEAST[name]], getattr(self, name)).fill_null(False)


def _listed(text: str) -> frozenset[str]:
    """The parts of a text that are separated by commas."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())
