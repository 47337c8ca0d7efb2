"""Tc bands: splits are balanced over them, and errors are reported per band."""

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


def band_name(low: float, high: float) -> str:
    """The name of the band from ``low`` to ``high`` kelvin, such as ``5-15``."""
    return f"{low:g}+" if np.isinf(high) else f"{low:g}-{high:g}"
