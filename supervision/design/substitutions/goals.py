"""What a search for candidates looks for: a high probability of a Tc above one, or a Tc."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from supervision.answer.answer import Answer
from supervision.generation.variants import Variant

PROBABILITY_DECIMALS = 2  # that count in an order; candidates closer than that are equal
UNKNOWN = 999.0  # K; a width that is wider than any interval


class Hit(NamedTuple):
    """A candidate and its answer.

    Attributes:
        p_above: the probability of a Tc above that of the goal; NaN where it is not known.
    """

    variant: Variant
    answer: Answer
    p_above: float

    @property
    def width(self) -> float:
        """The width of the 90% interval, in kelvin."""
        width = self.answer.tc_upper - self.answer.tc_lower
        return width if math.isfinite(width) else UNKNOWN


class Goal(Protocol):
    """What a search looks for."""

    @property
    def above(self) -> float:
        """The Tc of ``p_above``, in kelvin."""

    @property
    def target(self) -> float | None:
        """The Tc that is looked for, in kelvin; None where the highest is."""

    @property
    def order(self) -> str:
        """What hits are ranked by, in words."""

    @property
    def title(self) -> str:
        """That of a figure."""

    @property
    def axis(self) -> str:
        """What ``value`` is, as the label of an axis."""

    def value(self, hit: Hit) -> float:
        """The number by which hits are ranked first."""

    def objectives(self, hit: Hit) -> tuple[float, float, float]:
        """What is made small, the most important first; hits are ranked by it."""

    def traded(self, hit: Hit) -> tuple[float, float]:
        """What a sampler makes small, and no less important: the first objective, plausibility.

        Of equal first objectives the narrower interval is smaller.
        """

    def distance(self, tc: float) -> float:
        """How far a Tc is from what is looked for, on any scale."""

    def accepts(self, hit: Hit) -> bool:
        """Whether a hit is an answer to the search."""

    def statements(self, highest: float, hits: int) -> Iterator[str]:
        """What there is to say of an answer.

        Args:
            highest: the highest predicted Tc of all candidates that were asked, in kelvin.
            hits: the number of answers.
        """


@dataclass(frozen=True)
class HighTc:
    """A high probability of a Tc above one: then plausibility, then a narrow interval."""

    above: float
    target: None = None

    @property
    def order(self) -> str:
        """See ``Goal``."""
        return f"P(Tc > {self.above:g} K), then plausibility, then the width of the interval"

    @property
    def title(self) -> str:
        """See ``Goal``."""
        return f"Substitutions for a Tc above {self.above:g} K"

    @property
    def axis(self) -> str:
        """See ``Goal``."""
        return f"P(Tc > {self.above:g} K)"

    def value(self, hit: Hit) -> float:
        """See ``Goal``; 0 where the probability is not known."""
        return hit.p_above if math.isfinite(hit.p_above) else 0.0

    def objectives(self, hit: Hit) -> tuple[float, float, float]:
        """See ``Goal``."""
        p = round(self.value(hit), PROBABILITY_DECIMALS)
        return -p, -hit.variant.plausibility, hit.width

    def traded(self, hit: Hit) -> tuple[float, float]:
        """See ``Goal``."""
        p = round(self.value(hit), PROBABILITY_DECIMALS)
        return -p + hit.width / 1000 / 10**PROBABILITY_DECIMALS, -hit.variant.plausibility

    def distance(self, tc: float) -> float:
        """See ``Goal``."""
        return -tc

    def accepts(self, hit: Hit) -> bool:
        """See ``Goal``."""
        return True

    def statements(self, highest: float, hits: int) -> Iterator[str]:
        """See ``Goal``."""
        yield from ()


@dataclass(frozen=True)
class TargetTc:
    """A predicted Tc near to a target, to the kelvin: then a narrow interval, then plausibility."""

    target: float

    @property
    def above(self) -> float:
        """See ``Goal``: the target."""
        return self.target

    @property
    def order(self) -> str:
        """See ``Goal``."""
        return (
            f"|Tc - {self.target:g} K|, then the width of the interval, which contains "
            f"{self.target:g} K, then plausibility"
        )

    @property
    def title(self) -> str:
        """See ``Goal``."""
        return f"Substitutions for a Tc of {self.target:g} K"

    @property
    def axis(self) -> str:
        """See ``Goal``."""
        return "predicted Tc (K); line: the target"

    def value(self, hit: Hit) -> float:
        """See ``Goal``."""
        return hit.answer.tc_kelvin

    def objectives(self, hit: Hit) -> tuple[float, float, float]:
        """See ``Goal``."""
        difference = float(round(abs(hit.answer.tc_kelvin - self.target)))
        return difference, hit.width, -hit.variant.plausibility

    def traded(self, hit: Hit) -> tuple[float, float]:
        """See ``Goal``."""
        difference, width, implausibility = self.objectives(hit)
        return difference + width / 1000, implausibility

    def distance(self, tc: float) -> float:
        """See ``Goal``."""
        return abs(tc - self.target)

    def accepts(self, hit: Hit) -> bool:
        """Whether the 90% interval contains the target."""
        return hit.answer.tc_lower <= self.target <= hit.answer.tc_upper

    def statements(self, highest: float, hits: int) -> Iterator[str]:
        """See ``Goal``."""
        if highest < self.target:
            yield (
                f"The target of {self.target:g} K is above the {highest:.0f} K that the model "
                "predicts at most among these candidates. It predicts hardly any Tc above those "
                "that it has learned from, so that a higher one is neither found nor excluded."
            )
        elif not hits:
            yield (
                f"No candidate has {self.target:g} K within its interval; search other parents, "
                "more replacements or more trials."
            )
