"""What a search among variants has found, as text that fits a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np

from supervision.answer.domain import DOMAINS, NEW_FAMILY
from supervision.answer.kelvin import UNKNOWN, kelvin
from supervision.answer.text import WIDTH
from supervision.design.substitutions.goals import Goal, Hit
from supervision.design.substitutions.search import Asked, SearchOptions
from supervision.runtime.text import printable

UNSUPPORTED = DOMAINS[NEW_FAMILY:]
FORMULA_COLUMNS = 26
SHOWN_REFUSED = 5
LINE = "{:>4} {:1} {:<26} {:>6} {:>11} {:>6}  {:<12} {:<}"


@dataclass(frozen=True)
class Found:
    """The hits of a search, and what else it came across. ``str`` of it is the ranked table.

    Attributes:
        hits: ranked by the goal, the best first.
        front: of each hit, whether none is better in one of first objective and plausibility, and
            as good in the other; of hits that are equal in both, of the first alone.
        parents: how many were searched.
        asked: how many candidates were asked.
        is_complete: whether these are all of the space.
        known: how many were left out, being known materials.
        unreadable: why other candidates were left out, and how many.
        highest: the highest predicted Tc of all that were asked, in kelvin.
        refused: parents that cannot be read, with the reason.
    """

    goal: Goal
    options: SearchOptions
    hits: Sequence[Hit]
    front: Sequence[bool]
    parents: int
    asked: int
    is_complete: bool
    known: int
    unreadable: Mapping[str, int]
    highest: float
    refused: Mapping[str, str]

    @classmethod
    def of(
        cls,
        asked: Asked,
        options: SearchOptions,
        parents: int,
        refused: Mapping[str, str],
        *,
        is_complete: bool,
    ) -> "Found":
        """From the answers that were collected."""
        goal = asked.goal
        answered = [hit for hit in asked.hits.values() if hit is not None]
        wanted = [hit for hit in answered if asked.wants(hit)]
        highest = max((hit.answer.tc_kelvin for hit in answered), default=0.0)
        hits = [hit for hit in wanted if goal.accepts(hit)]
        hits.sort(key=lambda hit: (goal.objectives(hit), hit.variant.id))
        front = _front([(goal.objectives(hit)[0], -hit.variant.plausibility) for hit in hits])
        return cls(
            goal, options, hits, front, parents, len(asked.hits), is_complete,
            len(answered) - len(wanted), asked.unreadable, highest, refused,
        )  # fmt: skip

    @property
    def shown(self) -> Sequence[Hit]:
        """The hits that are shown and written."""
        return self.hits[: self.options.top]

    def __str__(self) -> str:
        lines = [*_paragraphs([_summary(self)]), ""]
        if self.hits:
            above = f">{self.goal.above:g}"
            lines.append(LINE.format(
                "", "", "candidate", "Tc (K)", "90% (K)", above, "domain", "plausibility"
            ))  # fmt: skip
        for rank, (hit, is_front) in enumerate(zip(self.shown, self.front, strict=False), start=1):
            lines += _hit_lines(rank, hit, is_front=is_front)
        return "\n".join([*lines, "", *_paragraphs(_statements(self))]).rstrip()


def _summary(found: Found) -> str:
    space = "all of the space" if found.is_complete else "sampled by NSGA-II from a larger space"
    known = f"{found.known:,} known materials are left out; " if found.known else ""
    return (
        f"Asked {found.asked:,} candidates from {_number(found.parents, 'parent')}, {space}; "
        f"{known}{len(found.hits):,} are ranked by {found.goal.order}."
    )


def _hit_lines(rank: int, hit: Hit, *, is_front: bool) -> Iterator[str]:
    answer, variant = hit.answer, hit.variant
    tc, low, high = (
        kelvin(value, answer.decimals)
        for value in (answer.tc_kelvin, answer.tc_lower, answer.tc_upper)
    )
    interval = f"{low} to {high}" if UNKNOWN not in (low, high) else UNKNOWN
    p = f"{hit.p_above:.0%}" if math.isfinite(hit.p_above) else UNKNOWN
    plausibility = f"{variant.plausibility:.2g} ({variant.source})"
    formula = answer.formula
    if len(formula) > FORMULA_COLUMNS:
        formula = f"{formula[: FORMULA_COLUMNS - 1]}…"
    mark = "*" if is_front else ""
    yield LINE.format(rank, mark, formula, tc, interval, p, answer.domain, plausibility).rstrip()
    detail = f"{printable(variant.parent.id)}: {variant.description}"
    if answer.nearest:
        near = answer.nearest[0]
        detail += f"; nearest {near.formula}, {near.tc_kelvin:.3g} K, {near.distance:.2f} away"
    indent = " " * 7
    yield from wrap(detail, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _statements(found: Found) -> Iterator[str]:
    """What limits the answers."""
    if any(found.front):
        yield (
            "* No other candidate is better by "
            f"{found.goal.order.partition(',')[0]} or plausibility, and as good by the other."
        )
    shown = [hit.answer for hit in found.shown]
    far = [answer for answer in shown if answer.domain in UNSUPPORTED]
    if 2 * len(far) > len(shown):
        errors = [a.domain_error for a in far if math.isfinite(a.domain_error)]
        known = f" ({np.mean(errors):.2g} K on average)" if errors else ""
        yield (
            f"{len(far)} of the {len(shown)} shown are far from all that the model has learned "
            f"from ({' or '.join(UNSUPPORTED)}): its errors{known} are largest there, and grow "
            "with Tc, and a search selects what is overestimated. They are candidates to "
            "calculate, not results; neither stability nor the way to make them is predicted."
        )
    yield from found.goal.statements(found.highest, len(found.hits))
    if found.unreadable:
        reason, number = next(iter(found.unreadable.items()))
        total = _number(sum(found.unreadable.values()), "candidate")
        yield f"{total} could not be answered; {number:,} of them: {reason}"
    for name, reason in list(found.refused.items())[:SHOWN_REFUSED]:
        yield f"{printable(name)}: {printable(reason)}"
    if len(found.refused) > SHOWN_REFUSED:
        yield f"{len(found.refused) - SHOWN_REFUSED:,} more parents cannot be read."


def _paragraphs(texts: Sequence[str] | Iterator[str]) -> list[str]:
    return [line for text in texts for line in wrap(text, WIDTH, subsequent_indent="  ")]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points, of two values to be small, no other one dominates; the first of equal ones."""
    values = np.array(points).reshape(len(points), 2)
    return [
        not ((values <= own).all(axis=1) & (values < own).any(axis=1)).any()
        and not (values[:row] == own).all(axis=1).any()
        for row, own in enumerate(values)
    ]
