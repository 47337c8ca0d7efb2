"""A search among the variants of parents: the space, and the answers of a model to some of it.

A sampler (``tracking.substitution_search``) chooses what is asked where the space is large.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

from supervision.answer.answerer import Answerer
from supervision.answer.domain import DOMAINS, KNOWN
from supervision.answer.loaded import ModelError, SavedModel, loading, quiet
from supervision.data.cif_writer import structure_to_cif
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, crystal_errors
from supervision.design.substitutions.goals import Goal, Hit
from supervision.generation.cells import Change
from supervision.generation.variants import (
    MOST_REPLACEMENTS,
    Key,
    Parent,
    Variant,
    VariantOptions,
    compatible,
    variants,
)
from supervision.runtime.options import option, options_of

ASKED_AT_ONCE = 50
WORST = (1e9, 1e9, 1e9)  # objectives of what is no hit
T = TypeVar("T")


@dataclass(frozen=True)
class SearchOptions(VariantOptions):
    """What is searched, and how long. Raises ValueError, naming the option, for a wrong value."""

    trials: int = option(
        2_000, "candidates that are asked; a space of no more is asked in full, a larger sampled"
    )
    seed: int = option(0, "seed of the sampling")
    top: int = option(20, "candidates that are shown and written as CIF files")
    known: bool = option(False, "also rank candidates within 0.02 of a known material")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("trials", 1), ("seed", 0), ("top", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}.")


def search_options(settings: Mapping[str, Any]) -> SearchOptions:
    """The options with these values. Raises ValueError for an unknown name or a wrong value."""
    known = [found.name for found in options_of(SearchOptions)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not a setting of a search ({', '.join(known)}).")
    return SearchOptions(**settings)


def load_calibrated(model: SavedModel) -> Answerer:
    """A saved model of Tc that knows its domains and intervals.

    Raises ModelError with one sentence for one that does not, or that this code cannot read, and
    ValueError for a model of another quantity.
    """
    with quiet(), loading(model.location):
        found = Answerer.load(model.folder)
    found.quantity.require_tc("A search among substitutions")
    if found.known is None or found.calibration is None:
        raise ModelError(
            f"The model {model.location} was saved without intervals, by which candidates are "
            "ranked; name another model, such as released:fast."
        )
    return found


@dataclass(frozen=True, eq=False)
class Space:
    """The variants of parents.

    Attributes:
        rank: of a variant with a single change, small for one that is looked at first.
    """

    parents: Sequence[Parent]
    options: VariantOptions
    rank: Callable[[Variant], Sequence[float]] = lambda single: [-single.plausibility]
    _ranked: dict[int, list[Change]] = field(default_factory=dict)

    def all(self, replacements: int = MOST_REPLACEMENTS) -> Iterator[Variant]:
        """All variants, of the parents one after the other; of so many replacements at most."""
        most = min(replacements, self.options.replacements)
        for parent in self.parents:
            yield from variants(parent, replace(self.options, replacements=most))

    def if_fewer(self, most: int, replacements: int = MOST_REPLACEMENTS) -> list[Variant] | None:
        """All variants; None where there are more than ``most``."""
        found = list(islice(self.all(replacements), most + 1))
        return found if len(found) <= most else None

    def at(self, parent: float, first: float, second: float | None) -> Variant | None:
        """The variant at a point of the space; None where there is none.

        Args:
            parent: 0 to 1, along the parents.
            first: 0 to 1, along the single changes of the parent by their rank.
            second: the same for a second change; None: there is none.
        """
        (number,) = _along(range(len(self.parents)), parent)
        changes = self._changes(number)
        chosen = _along(changes, first)
        if chosen and second is not None:
            chosen += _along([c for c in changes if compatible(chosen[0], c)], second)
        if len(chosen) < (1 if second is None else 2):
            return None
        found = Variant(self.parents[number], tuple(sorted(chosen)))
        return found if found.is_balanced else None

    def _changes(self, number: int) -> list[Change]:
        """The single changes of a parent, by their rank."""
        if number not in self._ranked:
            parent = self.parents[number]
            singles = (Variant(parent, (change,)) for change in parent.changes(self.options))
            ranked = sorted(singles, key=lambda single: (self.rank(single), single.id))
            self._ranked[number] = [single.changes[0] for single in ranked]
        return self._ranked[number]


@dataclass
class Asked:
    """Asks a model for variants, each once, and keeps the answers.

    Attributes:
        answerer: a model that knows its domains and intervals.
        with_known: whether known materials are wanted, too.
        hits: what was found, by ``Variant.key``; None for what cannot be read.
        unreadable: why, and how many of them.
    """

    answerer: Answerer
    goal: Goal
    with_known: bool
    hits: dict[Key, Hit | None] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)

    def ask(self, chosen: Iterable[Variant]) -> list[Hit | None]:
        """The hits of variants in their order; None for one that cannot be read."""
        found = list(chosen)
        new = {variant.key: variant for variant in found if variant.key not in self.hits}
        crystals = [_crystal(variant) for variant in new.values()]
        with quiet():
            answers = self.answerer.answer(crystals)
            above = self.answerer.probability_above(self.goal.above, answers)
        for (key, variant), answer, p in zip(new.items(), answers, above.tolist(), strict=True):
            self.hits[key] = None if answer.error else Hit(variant, answer, p)
            self.unreadable.update([answer.error] if answer.error else [])
        return [self.hits[variant.key] for variant in found]

    def wants(self, hit: Hit) -> bool:
        """Whether a hit is no known material, or these are wanted, too."""
        return self.with_known or hit.answer.domain != DOMAINS[KNOWN]

    def rank(self, variant: Variant) -> Sequence[float]:
        """The objectives of a variant that was asked; worst of others."""
        hit = self.hits.get(variant.key)
        return WORST if hit is None else self.goal.objectives(hit)

    def by_known_tc(self, parents: Sequence[Parent]) -> list[Parent]:
        """The parents by the Tc of the known material that is nearest, what suits the goal first.

        It needs no answer of the model.
        """
        known = self.answerer.known
        assert known is not None

        def distance(parent: Parent) -> float:
            nearest = known.nearest(atomic_fractions(parent.structure.composition))
            return self.goal.distance(nearest[0].tc_kelvin) if nearest else math.inf

        return sorted(parents, key=distance)


def _along(items: Sequence[T], position: float) -> list[T]:
    """The item at a position from 0 to 1; none of none."""
    return [items[min(int(position * len(items)), len(items) - 1)]] if items else []


def _crystal(variant: Variant) -> Crystal:
    """The crystal; one that cannot be made is one that cannot be read."""
    try:
        with crystal_errors():
            return Crystal(variant.id, "", structure_to_cif(variant.structure))
    except CrystalError:
        return Crystal(variant.id, "", "")
