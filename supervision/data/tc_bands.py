"""Tc bands: splits are balanced over them, and errors are reported per band.

Splits of another quantity are balanced over fifths of its values.
"""

import numpy as np

TC_BANDS = ((0.0, 5.0), (5.0, 15.0), (15.0, 40.0), (40.0, np.inf))  # kelvin


def band_labels(tc: np.ndarray) -> np.ndarray:
    """The Tc band of each material: ``0-5``, ``5-15``, ``15-40`` or ``40+`` kelvin.

    A band includes its lower edge. Raises ValueError for a Tc that is negative or not finite.
    """
    tc = np.asarray(tc, dtype=float)
    stray = tc[~(np.isfinite(tc) & (tc >= 0))]
    if stray.size:
        raise ValueError(f"A critical temperature must be 0 K or more, got {stray[0]} K.")
    labels = np.empty(tc.shape, dtype=object)
    for low, high in TC_BANDS:
        labels[(tc >= low) & (tc < high)] = band_name(low, high)
    return labels


def fifths(values: np.ndarray) -> list[str]:
    """The fifth of the values that each is in, ``"0"`` to ``"4"``; equal ones share theirs."""
    edges = np.quantile(values, [0.2, 0.4, 0.6, 0.8])
    return [str(fifth) for fifth in np.searchsorted(edges, values, side="left")]


def band_name(low: float, high: float) -> str:
    """The name of the band from ``low`` to ``high`` kelvin, such as ``5-15``."""
    return f"{low:g}+" if np.isinf(high) else f"{low:g}-{high:g}"
