"""How much a model differs from a baseline on the same materials, and whether that is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PairedDifference:
    """MAE of a model minus MAE of a baseline on the same ``n`` materials, in K.

    ``low`` and ``high`` are the 95% interval of the paired bootstrap: over families of materials
    where the split is by families, otherwise over the materials.
    """

    difference: float
    low: float
    high: float
    n: int

    @property
    def is_better(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.high < 0

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0

    def rounded(self, digits: int) -> "PairedDifference":
        """The same with rounded values."""
        values = (round(value, digits) for value in (self.difference, self.low, self.high))
        difference, low, high = values
        return PairedDifference(difference, low, high, self.n)

    def describe(self, baseline: str) -> str:
        """``better than BASELINE by 1.20 K (95% 0.30 to 2.10, n=872)``, or what else is shown."""
        if self.is_better:
            gain, low, high = -self.difference, -self.high, -self.low
            return (
                f"better than {baseline} by {gain:.2f} K (95% {low:.2f} to {high:.2f}, n={self.n})"
            )
        if self.is_worse:
            return (
                f"worse than {baseline} by {self.difference:.2f} K "
                f"(95% {self.low:.2f} to {self.high:.2f}, n={self.n})"
            )
        return (
            f"not shown to differ from {baseline} (difference {self.difference:+.2f} K, "
            f"95% {self.low:+.2f} to {self.high:+.2f}, n={self.n})"
        )
