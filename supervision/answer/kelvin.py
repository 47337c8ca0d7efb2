"""How temperatures are written."""

import math

UNKNOWN = "–"


def kelvin(value: float, decimals: int) -> str:
    """A temperature to so many decimals; a dash where it is not known."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else UNKNOWN
