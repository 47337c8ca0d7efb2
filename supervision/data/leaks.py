"""Rows of other sources: which of them may be trained on beside a split data set."""

from collections.abc import Sequence

import numpy as np

from supervision.data.crystals import Material, material_key
from supervision.data.splits import NEAR, LeakError, Split, distances_to

KNOWN = "known"  # a row with the composition of a material of the data set
NEAR_DUPLICATE_DISTANCE = 0.01  # at any split: Mg0.98B2 is 0.009 from MgB2


def source_parts(
    rows: Sequence[Material], materials: Sequence[Material], split: Split
) -> dict[str, str]:
    """What may be learned from each row of another source, by its id.

    ``train``: it may be trained on. ``NEAR["test"]``, ``NEAR["val"]``: it is near to a test or
    validation material (``is_near``). ``KNOWN``: the data set has its composition.
    """
    known = {material_key(m.formula) for m in materials}
    fresh = [row for row in rows if material_key(row.formula) not in known]
    parts = {row.id: KNOWN for row in rows} | {row.id: "train" for row in fresh}
    for part in ("val", "test"):
        near = is_near(fresh, split.select(materials, part), split)
        parts |= {row.id: NEAR[part] for row, leaks in zip(fresh, near, strict=True) if leaks}
    return parts


def is_near(rows: Sequence[Material], held_out: Sequence[Material], split: Split) -> np.ndarray:
    """Whether each row is within the split's distance of a held-out material, [n].

    Where a split keeps element sets together, a row with the element set of a held-out material is
    near, too.
    """
    near = distances_to(rows, held_out) <= max(split.apart, NEAR_DUPLICATE_DISTANCE)
    if split.kind == "random":
        return near
    element_sets = {m.chemsys for m in held_out}
    return near | np.array([row.chemsys in element_sets for row in rows], dtype=bool)


def check_sources(rows: Sequence[Material], materials: Sequence[Material], split: Split) -> None:
    """Raise LeakError if a row that is trained on is near to a validation or test material."""
    for part in ("test", "val"):
        near = is_near(rows, split.select(materials, part), split)
        if near.any():
            leak = rows[int(near.argmax())]
            raise LeakError(
                f"The {split.kind} split leaks: {leak.formula} of {leak.source} is near to a "
                f"{part} material."
            )
