"""A ladder as text that fits a terminal, as a table, and as a figure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.data.material_classes import CLASSES
from supervision.design.text import paragraph, text_table
from supervision.design.theory.ladder import (
    RESOLVED_FAMILIES,
    SPLIT,
    TOP_FAMILIES,
    Estimate,
    Ladder,
    LadderOptions,
)
from supervision.runtime.plot_style import BLUE, GREY, RED, STYLE, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_INCHES = (11.5, 4.4)
RUNG_HEADERS = ("step", "in", "out", "hits expected among them", "core hours")
BASE_HEADERS = ("share of hits", "precision of the shortlist", "hits at the end")
BAR_HEIGHT = 0.36
SHOWN_WHOLE = 100  # hits
LEAST_SHOWN = 0.01  # hits, on a logarithmic axis


def ladder_text(found: Ladder) -> str:
    """The rungs, what they rest on, and how the base rate changes them; at most 100 columns."""
    o = found.options
    hits = found.base_rate * o.candidates
    start = ("candidates", "", f"{o.candidates:,}", f"{hits:,.0f}", "")
    rungs = [
        (r.name, f"{r.given:,}", f"{r.kept:,}", _numbers(r.hits), f"{r.core_hours:,.0f}")
        for r in found.rungs
    ]
    bases = [
        (f"{rate:.2g}", _estimate(precision, ".2g"), _estimate(end, ".2g"))
        for rate, (precision, end) in found.by_base_rate.items()
    ]
    tops = [
        (f"Tc > {threshold:g} K", *(_estimate(one, ".2f") for one in row.values()))
        for threshold, row in found.measured()
    ]
    headers = ("", *(f"top {k}" for k in TOP_FAMILIES))
    parts = [
        f"A hit has a Tc over {o.tc:g} K. Intervals of 95%, over families.",
        text_table(RUNG_HEADERS, [start, *rungs]),
        *(paragraph(text) for text in _assumptions(found)),
        "By the share of hits among the candidates:",
        text_table(BASE_HEADERS, bases),
        f"Measured on `{SPLIT}`: the share of hits among the families of highest prediction.",
        text_table(headers, tops),
    ]
    return "\n\n".join(parts)


def ladder_rows(found: Ladder) -> list[dict[str, Any]]:
    """The rungs as rows of a table."""
    return [
        {
            "step": rung.name,
            "in": rung.given,
            "out": rung.kept,
            "hits": rung.hits.value,
            "hits_low": rung.hits.low,
            "hits_high": rung.hits.high,
            "core_hours": rung.core_hours,
            "base_rate": found.base_rate,
        }
        for rung in found.rungs
    ]


def _assumptions(found: Ladder) -> Iterator[str]:
    o, families = found.options, found.families
    hits = int((families.tc > o.tc).sum())
    chance = found.base_rate * o.final
    yield (
        f"Of {o.final} candidates taken by chance, {chance:.2g} would be hits. A perfect order of "
        f"the candidates would put {min(o.shortlist, found.base_rate * o.candidates):,.0f} into "
        "the shortlist."
    )
    yield (
        f"Base rate {found.base_rate:.2g}: the share of the {families.tc.size:,} families "
        f"that were measured ({hits} hits). People measured what they hoped to superconduct, so "
        "that the share among arbitrary candidates is far lower; set --base-rate."
        if not o.base_rate
        else f"Base rate {found.base_rate:.2g}, as given; among the {families.tc.size:,} measured "
        f"families it is {found.data_rate:.2g} ({hits} hits)."
    )
    if o.classes:
        titles = " and ".join(CLASSES[name].title.lower() for name in o.classes)
        yield (
            f"Families with members of these classes are left out, among the hits, too: {titles}. "
            "Theory of phonons does not confirm them; --without '' counts them."
        )
    yield (
        "Assumed: predictions of hits and of others are distributed among the candidates as among "
        f"the families of `{SPLIT}`. Of a top with fewer than {RESOLVED_FAMILIES} families nothing "
        f"is known; the precision of {RESOLVED_FAMILIES} stands for it."
    )
    yield (
        f"Assumed, not measured: theory confirms {o.theory_recall:.0%} of the hits and "
        f"{o.theory_false:.0%} of the others, and costs {o.theory_hours:,g} core hours a crystal. "
        f"A prediction costs {o.predict_seconds:g} s. The intervals leave this out."
    )


def _estimate(estimate: Estimate, form: str) -> str:
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _numbers(hits: Estimate) -> str:
    """Expected numbers, to three digits or in whole ones."""
    value, low, high = (f"{x:,.0f}" if x >= SHOWN_WHOLE else f"{x:.3g}" for x in hits)
    return f"{value} ({low} to {high})"


# --- the figure


def ladder_figure(found: Ladder) -> "Figure":
    """The rungs with their expected hits; and how the base rate changes the shortlist."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
        rungs, curve = figure.subplots(1, 2)
        _draw_rungs(rungs, found)
        _draw_curve(curve, found)
    return figure


def _draw_rungs(ax: "Axes", found: Ladder) -> None:
    o = found.options
    sizes = [o.candidates, *(rung.kept for rung in found.rungs)]
    rows = np.arange(len(sizes))
    estimates = np.array([rung.hits for rung in found.rungs])
    value, low, high = np.maximum(estimates, LEAST_SHOWN).T
    hits = [found.base_rate * o.candidates, *value]
    ax.barh(rows - BAR_HEIGHT / 2, sizes, BAR_HEIGHT, color=GREY, label="crystals")
    ax.barh(rows + BAR_HEIGHT / 2, hits, BAR_HEIGHT, color=BLUE, label="hits expected")
    bars: dict[str, Any] = {"fmt": "none", "ecolor": RED, "capsize": 4, "label": "95%"}
    ax.errorbar(value, rows[1:] + BAR_HEIGHT / 2, xerr=[value - low, high - value], **bars)
    costs = ["", *(f"{rung.core_hours:,.0f} core hours" for rung in found.rungs)]
    names = ["candidates", *(f"{rung.name}: {rung.kept:,}" for rung in found.rungs)]
    ax.set_yticks(rows, [f"{n}\n{cost}".strip() for n, cost in zip(names, costs, strict=True)])
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlim(LEAST_SHOWN, 3 * o.candidates)
    ax.set_xlabel("number")
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    set_titles(ax, f"Hits over {o.tc:g} K", f"base rate {found.base_rate:.2g}{_without(o)}")


def _draw_curve(ax: "Axes", found: Ladder) -> None:
    o = found.options
    curve = found.curve()
    rates = np.array(list(curve))
    value, low, high = np.array(list(curve.values())).T
    ax.fill_between(rates, low, high, color=BLUE, alpha=0.2, lw=0, label="95%")
    ax.plot(rates, value, color=BLUE, label="by prediction")
    ax.plot(rates, rates, color=GREY, ls="--", label="by chance")
    ax.axvline(found.data_rate, color=RED, lw=1, label="share in the data")
    ax.set(xscale="log", yscale="log", ylim=(rates[0], 3))
    ax.set_xlabel("share of hits among the candidates")
    ax.set_ylabel("share of hits in the shortlist")
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    set_titles(ax, "Base rate", f"{o.shortlist:,} of {o.candidates:,} candidates{_without(o)}")


def _without(options: LadderOptions) -> str:
    return f"; without {', '.join(options.classes)}" if options.classes else ""
