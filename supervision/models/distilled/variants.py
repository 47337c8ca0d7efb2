"""Made-up variants of crystals, on which a fast model is taught what a slower one says of new ones.

The crystals of a data set are known to the teacher, whose corrections by structure are for new
compositions; so most of them teach nothing.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.data.cif_writer import structure_to_cif
from supervision.data.crystals import Crystal
from supervision.data.element_tables import MAX_ATOMIC_NUMBER

if TYPE_CHECKING:
    from pymatgen.core import Element

SHARES = (1.0, 1.0, 0.5, 0.25)  # of a site that the new element takes, each as likely
SECOND_CHANGE = 0.5  # probability that another element is replaced, too
LEFT_OUT = frozenset(
    ["He", "Ne", "Ar", "Kr", "Xe", "Rn", "Po", "At", "Fr", "Ra", "Pm", "Tc"]
)  # not in solids of use here
F_BLOCK_STEPS = 2  # between lanthanides or actinides that replace each other


def variants(crystals: Sequence[Crystal], seed: int = 0) -> list[Crystal]:
    """One variant of each crystal: an element or two replaced, wholly or in part, by a neighbour.

    A neighbour is in the same group and an adjacent period, or in the same period and an adjacent
    group. The geometry is kept. A crystal whose elements have no neighbours has no variant.
    """
    rng = np.random.default_rng(seed)
    return [made for crystal in crystals if (made := _variant(crystal, rng))]


def _variant(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    structure = crystal.structure.copy()
    symbols = sorted(element.symbol for element in structure.composition.elements)
    chosen = rng.permutation(symbols)[: 1 + int(rng.random() < SECOND_CHANGE)].tolist()
    changes: dict[Any, Any] = {}
    for old in filter(neighbours, chosen):
        share = float(rng.choice(SHARES))
        kept = {old: 1 - share} if share < 1 else {}
        changes[old] = {str(rng.choice(neighbours(old))): share, **kept}
    if not changes:
        return None
    structure.replace_species(changes)
    return Crystal(f"{crystal.id} variant", "", structure_to_cif(structure))


@cache
def neighbours(symbol: str) -> tuple[str, ...]:
    """The elements that may replace one."""
    from pymatgen.core import Element

    others = map(Element.from_Z, range(1, MAX_ATOMIC_NUMBER + 1))
    element = Element(symbol)
    return tuple(
        o.symbol for o in others if o.symbol not in LEFT_OUT and _are_neighbours(element, o)
    )


def _are_neighbours(one: "Element", other: "Element") -> bool:
    in_f_block = [element.is_lanthanoid or element.is_actinoid for element in (one, other)]
    if any(in_f_block):
        return all(in_f_block) and 0 < abs(one.Z - other.Z) <= F_BLOCK_STEPS
    rows, groups = abs(one.row - other.row), abs(one.group - other.group)
    return (groups, rows) in ((0, 1), (1, 0))
