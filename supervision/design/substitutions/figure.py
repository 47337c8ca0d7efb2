"""A search as a figure: what is looked for against plausibility, with the front of both."""

from typing import TYPE_CHECKING

from supervision.answer.domain import DOMAIN_COLOURS, DOMAINS
from supervision.design.substitutions.found import Found
from supervision.design.substitutions.goals import Hit
from supervision.runtime.plot_style import GREY, PLAIN_TEXT, RED, STYLE, TEXT_COLOUR, set_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_INCHES = (9.4, 5.2)
LISTED = 10  # of the front, from the best by rank on
LABEL_CHARACTERS = 32
BESIDE = 1.02  # the place of lists beside the axes, in their width


def search_figure(found: Found) -> "Figure":
    """The ranked candidates of a search by domain; the front is joined, numbered and listed."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | PLAIN_TEXT):
        figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
        ax = figure.subplots()
        _draw_candidates(ax, found)
        _draw_front(ax, found)
        if (target := found.goal.target) is not None:
            ax.axvline(target, color=RED, lw=1, zorder=0)
        ax.set_yscale("log")
        ax.set_xlabel(found.goal.axis)
        ax.set_ylabel("plausibility of the replacements")
        ax.grid(color=GREY, alpha=0.3, lw=0.8)
        ax.set_axisbelow(True)
        subtitle = f"{len(found.hits):,} of {found.asked:,} candidates; line: the best by both"
        set_titles(ax, found.goal.title, subtitle)
    return figure


def _draw_candidates(ax: "Axes", found: Found) -> None:
    for domain in DOMAINS:
        hits = [hit for hit in found.hits if hit.answer.domain == domain]
        if hits:
            x, y = zip(*(_place(hit, found) for hit in hits), strict=True)
            label = f"{domain} ({len(hits):,})"
            ax.scatter(x, y, 18, DOMAIN_COLOURS[domain], alpha=0.5, linewidths=0, label=label)
    if found.hits:
        place = (BESIDE, 1.03)
        ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=place)


def _draw_front(ax: "Axes", found: Found) -> None:
    """A line through the front; its best points with their ranks, and what they are beside it."""
    ranked = enumerate(zip(found.hits, found.front, strict=True), start=1)
    front = [(rank, hit) for rank, (hit, is_on) in ranked if is_on]
    if not front:
        return
    ordered = sorted(_place(hit, found) for _, hit in front)
    ax.plot(*zip(*ordered, strict=True), "-", color=TEXT_COLOUR, lw=1, alpha=0.6)
    for rank, hit in front[:LISTED]:
        ax.plot(*_place(hit, found), "o", ms=6, mfc="none", mec=TEXT_COLOUR, mew=1)
        ax.annotate(
            str(rank), _place(hit, found), (5, 5), textcoords="offset points", fontsize=8,
            weight="bold",
        )  # fmt: skip
    lines = [f"{rank}  {_label(hit)}" for rank, hit in front[:LISTED]]
    text = "\n".join(["rank on the line", *lines])
    ax.annotate(
        text, (BESIDE, 0.72), xycoords="axes fraction", fontsize=8, va="top", linespacing=1.6
    )


def _place(hit: Hit, found: Found) -> tuple[float, float]:
    return found.goal.value(hit), hit.variant.plausibility


def _label(hit: Hit) -> str:
    text = f"{hit.variant.parent.id}: {hit.variant.description}"
    return text if len(text) <= LABEL_CHARACTERS else f"{text[: LABEL_CHARACTERS - 1]}…"
