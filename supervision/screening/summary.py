"""What a report shows of all ranked candidates, in memory that does not grow with them."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from supervision.answer.domain import DOMAINS
from supervision.screening.worker import Row

STEP = 0.25  # of the square root of a temperature, in a histogram
BINS = 60  # up to 225 K
EDGES = STEP * np.arange(BINS + 1)  # square roots of K


@dataclass
class Summary:
    """Counts over the ranked candidates.

    Attributes:
        count: of all.
        tc: by domain and bin of the predicted Tc.
        plane: by bin of the width of the interval and bin of Tc.
        best: the row of the highest Tc, by bin of the width of its interval.
    """

    count: int = 0
    tc: Counter[tuple[str, int]] = field(default_factory=Counter)
    plane: Counter[tuple[int, int]] = field(default_factory=Counter)
    best: dict[int, Row] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count a row of a result."""
        self.count += 1
        level = _bin(row["tc_kelvin"])
        self.tc[row["domain"], level] += 1
        if row["tc_upper"] is not None:
            width = _bin(interval_width(row))
            self.plane[width, level] += 1
            if width not in self.best or self.best[width]["tc_kelvin"] < row["tc_kelvin"]:
                self.best[width] = row

    @property
    def front(self) -> list[Row]:
        """Of each bin of widths the row of the highest Tc, where no narrower bin has a higher one.

        The narrowest first. Without bins nearly all rows of a domain would be here: its intervals
        widen with Tc.
        """
        found: list[Row] = []
        for _, row in sorted(self.best.items()):
            if not found or row["tc_kelvin"] > found[-1]["tc_kelvin"]:
                found.append(row)
        return found

    @property
    def domains(self) -> dict[str, int]:
        """The number of candidates in each domain that occurs."""
        found = {name: int(self.histogram(name).sum()) for name in DOMAINS}
        return {name: number for name, number in found.items() if number}

    def histogram(self, domain: str) -> np.ndarray:
        """The number of candidates of a domain in each bin of Tc, ``[BINS]``."""
        return np.array([self.tc[domain, level] for level in range(BINS)])

    def density(self) -> np.ndarray:
        """The number of candidates by width of the interval and Tc, ``[BINS, BINS]``."""
        return np.array([[self.plane[x, y] for y in range(BINS)] for x in range(BINS)])


def interval_width(row: Row) -> float:
    """The width of the 90% interval of a row, in kelvin."""
    return float(row["tc_upper"] - row["tc_lower"])


def _bin(kelvin: float) -> int:
    return min(BINS - 1, int(math.sqrt(max(kelvin, 0.0)) / STEP))
