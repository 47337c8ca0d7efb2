"""Tc over the fractions of dopants as text that fits a terminal, and as a table."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from supervision.answer.domain import DOMAINS, KNOWN, KNOWN_DISTANCE
from supervision.answer.kelvin import UNKNOWN, kelvin
from supervision.answer.known import Neighbour
from supervision.answer.text import interval_text, nearest_text
from supervision.data.splits import APART
from supervision.design.doping.curve import DopedPoint, Doping, MeasuredPoint
from supervision.design.text import paragraph, text_table
from supervision.runtime.text import csv_cell

ROWS, COLUMNS = 11, 10  # of a table, besides the highest Tc
NEAREST_WIDTH = 24  # characters
GAP = 0.1  # of the fraction; measured materials that are farther apart hold no curve between them
FLAT_KELVIN = 0.01  # between neighbouring points
HEADERS = ("formula", "Tc (K)", "90% (K)", "domain", "distance", "nearest measured")
ANSWER_FIELDS = ("tc_kelvin", "tc_lower", "tc_upper", "p_superconducting", "domain")


def doping_text(found: Doping) -> str:
    """A short table, what supports it, and the highest predicted Tc; at most 100 columns."""
    table = _map_table(found) if found.is_map else _curve_table(found)
    highest = [highest_sentence(found), *_notes_on_highest(found)]
    sentences = [*_support(found), *_flat(found), *_failures(found), *highest]
    return "\n\n".join([table, "\n".join(map(paragraph, sentences))])


def doping_rows(found: Doping) -> list[dict[str, Any]]:
    """Predicted points, and measured materials with ``tc_measured``, as rows of one table."""
    names = [f"fraction_{pair.dopant}" for pair in found.substitutions]
    predicted = [
        dict(zip(names, point.fractions, strict=True))
        | {"formula": csv_cell(point.formula)}
        | {name: getattr(point.answer, name) for name in ANSWER_FIELDS}
        | _nearest_cells(point)
        | {"error": csv_cell(point.answer.error)}
        for point in found.points
    ]
    measured = [
        dict(zip(names, point.fractions, strict=True))
        | {"formula": csv_cell(point.formula), "tc_measured": point.tc_kelvin}
        for point in found.measured
    ]
    return [row | {"tc_measured": math.nan} for row in predicted] + measured


def _nearest_cells(point: DopedPoint) -> dict[str, Any]:
    near = point.answer.nearest[0] if point.answer.nearest else Neighbour("", math.nan, math.nan)
    return {
        "nearest": csv_cell(near.formula),
        "nearest_tc": near.tc_kelvin,
        "distance": near.distance,
    }


def highest_sentence(found: Doping) -> str:
    """The highest predicted Tc with its interval, and where it is."""
    point = found.highest
    answer = point.answer
    interval = interval_text(answer)
    shown = f" (90% interval {interval} K)" if interval != UNKNOWN else ""
    where = f"at {_fractions(point)}" + (f", domain {answer.domain}" if answer.domain else "")
    tc = kelvin(answer.tc_kelvin, answer.decimals)
    return f"Highest predicted Tc: {tc} K{shown}, {point.formula} {where}."


def _support(found: Doping) -> Iterator[str]:
    """Sentences on what the model knows along the curve or on the map."""
    if not found.has_known:
        yield "The model carries no known materials, so that its support is not known."
        return
    domains = (
        f"{name} at {places(found, [p.answer.domain == name for p in found.points])}"
        for name in DOMAINS
        if any(point.answer.domain == name for point in found.points)
    )
    yield f"Domains: {'; '.join(domains)}."
    yield _without_support(found)
    yield _held(found)


def places(found: Doping, chosen: Sequence[bool]) -> str:
    """Where points are: ranges of the fraction, on a map their number."""
    if found.is_map:
        return f"{sum(chosen)} of {len(chosen)} points"
    fractions = [point.fractions[0] for point in found.points]
    runs = groupby(zip(chosen, fractions, strict=True), key=lambda item: item[0])
    return ", ".join(_range([x for _, x in run]) for is_chosen, run in runs if is_chosen)


def unsupported(found: Doping) -> list[bool]:
    """For each point, whether no measured material is within 0.2 in composition."""
    return [not point.has_support for point in found.points]


def _without_support(found: Doping) -> str:
    without = unsupported(found)
    if not any(without):
        return f"Every point has a measured material within {APART} in composition."
    return (
        f"No support at {places(found, without)}: no measured material that the model has learned "
        f"from is within {APART} in composition."
    )


def _held(found: Doping) -> str:
    """Which measured materials are on the curve or the map."""
    what = "map" if found.is_map else "curve"
    if not found.measured:
        return (
            f"No measured material is within {KNOWN_DISTANCE} of the {what}: all of it is "
            "extrapolated from other materials."
        )
    exact = sum(point.is_exact for point in found.measured)
    text = (
        f"{len(found.measured)} measured materials are within {KNOWN_DISTANCE} of the {what}, "
        f"{exact} of them on it"
    )
    if found.is_map:
        both = sum(all(point.fractions) for point in found.measured)
        return f"{text}; {both or 'none'} with both dopants."
    held = _clusters([point.fractions[0] for point in found.measured])
    ends = held[0][0] <= GAP and held[-1][-1] >= found.axes[0][-1] - GAP
    beyond = "" if len(held) == 1 and ends else "; elsewhere the curve is extrapolated"
    return f"{text}, at {', '.join(map(_range, held))}{beyond}."


def _clusters(fractions: Sequence[float]) -> list[np.ndarray]:
    """Sorted fractions, split where the next one is farther than GAP."""
    return np.split(np.array(fractions), np.flatnonzero(np.diff(fractions) > GAP) + 1)


def _range(fractions: Sequence[float] | np.ndarray) -> str:
    low, high = f"{fractions[0]:.3g}", f"{fractions[-1]:.3g}"
    return low if low == high else f"{low} to {high}"


def _flat(found: Doping) -> Iterator[str]:
    """Where a curve does not change from point to point, as between the thresholds of trees."""
    if found.is_map:
        return
    steps = np.diff([point.answer.tc_kelvin for point in found.points])
    same = np.abs(steps) < FLAT_KELVIN
    if same.any():
        flat = np.r_[same, False] | np.r_[False, same]
        yield (
            f"Flat (steps under {FLAT_KELVIN} K) at {places(found, flat.tolist())}: the model does "
            "not resolve the fraction there, as trees do not between their thresholds."
        )


def _failures(found: Doping) -> Iterator[str]:
    failed = [point for point in found.points if point.answer.error]
    if failed:
        first = f"{failed[0].formula}: {failed[0].answer.error}"
        yield f"{len(failed)} points have no prediction; the first, {first}"


def _notes_on_highest(found: Doping) -> Iterator[str]:
    """Whether the highest Tc is extrapolated, and the highest measured one."""
    point = found.highest
    answer = point.answer
    if found.has_known and answer.domain != DOMAINS[KNOWN]:
        near = f"; the nearest one, {nearest_text(answer)}, is {point.distance:.2g} away"
        yield (
            f"It is extrapolated: no known material is within {KNOWN_DISTANCE} of it"
            f"{near if answer.nearest else ''}."
        )
    exact = [one for one in found.measured if one.is_exact and one.tc_kelvin]
    if exact:
        best = max(exact, key=lambda one: one.tc_kelvin)
        yield f"Highest measured Tc: {best.tc_kelvin:.3g} K, {best.formula} at {_fractions(best)}."


def _fractions(point: DopedPoint | MeasuredPoint) -> str:
    return ", ".join(f"{x:.3g}" for x in point.fractions)


# --- tables


def _curve_table(found: Doping) -> str:
    """Some of the points, the first, the last and the highest among them."""
    count = len(found.points)
    chosen = {*_spread(count, ROWS), found.points.index(found.highest)}
    rows = [_cells(found.points[number]) for number in sorted(chosen)]
    (pair,) = found.substitutions
    return text_table((f"{pair.dopant} for {pair.host}", *HEADERS), rows, left=(0, 1, 6))


def _spread(count: int, most: int) -> list[int]:
    """Up to ``most`` of the first ``count`` numbers, at equal distances where that is possible."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def _cells(point: DopedPoint) -> tuple[str, ...]:
    answer = point.answer
    near = nearest_text(answer)
    return (
        _fractions(point),
        point.formula,
        kelvin(answer.tc_kelvin, answer.decimals),
        interval_text(answer),
        answer.domain or UNKNOWN,
        f"{point.distance:.3f}" if math.isfinite(point.distance) else UNKNOWN,
        near if len(near) <= NEAREST_WIDTH else f"{near[: NEAREST_WIDTH - 1]}…",
    )


def _map_table(found: Doping) -> str:
    """Tc in kelvin at some of the fractions: those of the first dopant down."""
    first, second = found.substitutions
    tc = found.grid([kelvin(p.answer.tc_kelvin, p.answer.decimals) for p in found.points])
    down, across = (
        _spread(len(axis), n) for axis, n in zip(found.axes, (ROWS, COLUMNS), strict=True)
    )
    rows = [(f"{found.axes[0][i]:.3g}", *tc[i, across]) for i in down]
    headers = (f"{first.dopant} for {first.host}", *(f"{found.axes[1][i]:.3g}" for i in across))
    title = f"Predicted Tc (K); columns: {second.dopant} for {second.host}"
    return f"{title}\n{text_table(headers, rows)}"
