"""What a source gives: candidates, and files that are none."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

HULL_NAMES = ("energy_above_hull", "e_above_hull", "hull_distance", "ehull", "stability")
PROVIDER_PREFIX = re.compile(r"^_[a-z0-9]+_")  # of a database's own properties in OPTIMADE


class Candidate(NamedTuple):
    """One structure to screen.

    Attributes:
        id: its name in the source.
        cif: the structure as CIF text; empty for a formula alone.
        error: why it cannot be read, one sentence; empty where it can.
        formula: of a candidate without a structure.
        energy_above_hull: in eV per atom; None where the source does not give it.
    """

    id: str
    cif: str = ""
    error: str = ""
    formula: str = ""
    energy_above_hull: float | None = None


class Skipped(NamedTuple):
    """A file beside the structures that is none by its name."""

    id: str


def named(name: str, texts: Sequence[str]) -> Iterator[Candidate]:
    """The structures of one file, with its name and, of several, their numbers."""
    if len(texts) == 1:
        yield Candidate(name, texts[0])
    else:
        yield from (Candidate(f"{name} ({n})", text) for n, text in enumerate(texts, start=1))


def hull_energy(values: Mapping[str, Any]) -> float | None:
    """The energy above the hull among named values, in eV per atom; None where there is none.

    It has one of ``HULL_NAMES``; in OPTIMADE after the prefix of a database: ``_oqmd_stability``.
    """
    plain = {PROVIDER_PREFIX.sub("", name): value for name, value in values.items()}
    for name in HULL_NAMES:
        value = plain.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None
