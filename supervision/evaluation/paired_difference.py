"""How much a model differs from a baseline on the same materials, and whether that is shown."""

from dataclasses import dataclass

from supervision.data.quantity import TC, Quantity


@dataclass(frozen=True)
class PairedDifference:
    """MAE of a model minus MAE of a baseline on the same ``n`` materials, in K or another unit.

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

    def describe(self, baseline: str, quantity: Quantity = TC) -> str:
        """``better than BASELINE by 1.20 K (95% 0.30 to 2.10, n=872)``, or what else is shown."""
        ends = (-self.high, -self.low) if self.is_better else (self.low, self.high)
        sign = "" if self.is_better or self.is_worse else "+"
        interval = " to ".join(quantity.number(end, sign) for end in ends)
        shown = f"95% {interval}, n={self.n}"
        if self.is_better:
            return f"better than {baseline} by {quantity.error(-self.difference)} ({shown})"
        if self.is_worse:
            return f"worse than {baseline} by {quantity.error(self.difference)} ({shown})"
        difference = quantity.error(self.difference, "+")
        return f"not shown to differ from {baseline} (difference {difference}, {shown})"
