"""Figures of a report: the distribution of Tc, Tc against its interval, shares of the domains."""

from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.answer.domain import DOMAIN_COLOURS, DOMAINS
from supervision.data.crystals import Crystal
from supervision.runtime.plot_style import BLUE, GREY, PLAIN_TEXT, RED, STYLE, TC_TICKS, TEXT_COLOUR
from supervision.screening.summary import EDGES, Summary, interval_width

if TYPE_CHECKING:  # matplotlib writes into the home folder when it is imported
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELLED, LABEL_CHARACTERS = 8, 18  # of candidates of the front
PICTURE_INCHES = 2.6
WIDTH_TICKS = (0, 1, 5, 10, 20, 40, 80, 120, 160, 200)  # K


def draw_summary(summary: Summary) -> "dict[str, Figure]":
    """The figures by name; that of the intervals only where the model gives some."""
    drawn = {"distribution": _figure(_distribution, summary)}
    if summary.front:
        drawn["front"] = _figure(_front, summary)
    if summary.domains:
        drawn["domains"] = _figure(_domains, summary)
    return drawn


def draw_candidate(crystal: Crystal) -> "Figure":
    """The cell of a crystal, its atoms in the colours of their elements."""
    from ase.data.colors import jmol_colors

    from supervision.data.elements import element
    from supervision.data.substitution import site_elements
    from supervision.explain.cell_drawing import draw_cell

    amounts = [site_elements(site) for site in crystal.structure]
    colours = [
        np.average([jmol_colors[element(s).number] for s in a], axis=0, weights=list(a.values()))
        for a in amounts
    ]
    opaque = np.column_stack([colours, np.ones(len(colours))])
    symbols = np.array([max(a, key=lambda s: a[s]) for a in amounts], dtype=object)

    def draw(ax: "Axes", _: Any) -> None:
        draw_cell(ax, crystal.structure, opaque, symbols)

    return _figure(draw, None, (PICTURE_INCHES, PICTURE_INCHES))


def _figure(draw: Any, summary: Any, size: tuple[float, float] = (6.4, 4.2)) -> "Figure":
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | PLAIN_TEXT):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), summary)
    return figure


def _distribution(ax: "Axes", summary: Summary) -> None:
    """Candidates by predicted Tc, stacked by domain, on a square-root axis."""
    below = np.zeros(len(EDGES) - 1)
    for domain in summary.domains or [""]:
        counts = summary.histogram(domain)
        ax.bar(
            EDGES[:-1], counts, np.diff(EDGES), below, align="edge", label=domain or None,
            color=DOMAIN_COLOURS.get(domain, BLUE), edgecolor="white", lw=0.5,
        )  # fmt: skip
        below += counts
    _temperatures(ax, "x", TC_TICKS, EDGES[np.flatnonzero(below)[-1] + 1] if below.any() else 1.0)
    ax.set(xlabel="predicted Tc (K)", ylabel="candidates", title="Distribution of Tc")
    if summary.domains:
        ax.legend(frameon=False, fontsize=9)


def _front(ax: "Axes", summary: Summary) -> None:
    """How many candidates have a Tc and a width of its interval; the best trade-offs in red."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    density = summary.density()
    shades = LinearSegmentedColormap.from_list("count", ["#e4edf4", BLUE])
    mesh = ax.pcolormesh(
        EDGES, EDGES, np.ma.masked_equal(density.T, 0), cmap=shades,
        norm=LogNorm(1, max(2, density.max())),
    )  # fmt: skip
    ax.figure.colorbar(mesh, ax=ax, label="candidates", fraction=0.04, pad=0.02)
    rows = summary.front
    x = np.sqrt([interval_width(row) for row in rows])
    y = np.sqrt([max(0.0, row["tc_kelvin"]) for row in rows])
    ax.plot(x, y, "o-", color=RED, ms=4, lw=1.2, drawstyle="steps-post")
    for number in np.unique(
        np.linspace(len(rows) - 1, 0, LABELLED, endpoint=False).round().astype(int)
    ):
        ax.annotate(
            _cut(rows[number]["formula"]), (x[number], y[number]), (7, -7), fontsize=8, va="top",
            textcoords="offset points", color=TEXT_COLOUR,
        )  # fmt: skip
    used = np.argwhere(density)
    _temperatures(ax, "x", WIDTH_TICKS, EDGES[used[:, 0].max() + 1])
    _temperatures(ax, "y", TC_TICKS, EDGES[used[:, 1].max() + 1])
    ax.set(
        xlabel="width of the 90% interval (K)", ylabel="predicted Tc (K)",
        title="Tc against its interval (red: the highest)",
    )  # fmt: skip


def _domains(ax: "Axes", summary: Summary) -> None:
    """How far the candidates are from what the model has learned from."""
    shares = np.array([summary.domains.get(name, 0) for name in DOMAINS]) / summary.count
    bars = ax.barh(
        DOMAINS, 100 * shares, color=[DOMAIN_COLOURS[name] for name in DOMAINS], height=0.6
    )
    ax.bar_label(bars, [f"{share:.1%}" for share in shares], padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, 115 * shares.max()), xlabel="% of candidates", title="Domains")
    ax.grid(axis="x", color=GREY, alpha=0.35, lw=0.8)
    ax.set_axisbelow(True)


def _cut(formula: str) -> str:
    return formula if len(formula) <= LABEL_CHARACTERS else f"{formula[: LABEL_CHARACTERS - 1]}…"


def _temperatures(ax: "Axes", axis: str, ticks: tuple[int, ...], highest: float) -> None:
    """Label a square-root axis in kelvin, up to a square root."""
    shown = [tick for tick in ticks if tick <= highest**2]
    getattr(ax, f"set_{axis}ticks")(np.sqrt(shown), [str(tick) for tick in shown])
    getattr(ax, f"set_{axis}lim")(0, highest)
