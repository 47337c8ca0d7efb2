"""How far a crystal is from what a model has learned from, in four words.

known: a material that was learned from is within 0.02 in composition, so that it is that material
or its next doping. series: within 0.2, as dopings of one compound are. new family: farther, another
compound. new elements: it has an element that no material had.
"""

import numpy as np

from supervision.data.splits import APART
from supervision.runtime.plot_style import PALETTE

KNOWN, SERIES, NEW_FAMILY, NEW_ELEMENTS = range(4)
DOMAINS = ("known", "series", "new family", "new elements")
DOMAIN_COLOURS = dict(
    zip(DOMAINS, (PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[1]), strict=True)
)  # in plots
KNOWN_DISTANCE = 0.02


def domains(distance: np.ndarray, has_new_element: np.ndarray) -> np.ndarray:
    """The domain of each material, as an index of ``DOMAINS``, ``[n]``.

    Args:
        distance: to the nearest composition that was learned from (``composition_distance``), [n].
        has_new_element: whether it has an element that nothing learned from had, [n].
    """
    found = np.digitize(distance, [KNOWN_DISTANCE, APART], right=True)
    return np.where(has_new_element, NEW_ELEMENTS, found)
