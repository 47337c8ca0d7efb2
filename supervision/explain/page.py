"""An explanation as one HTML file that needs no other file and no network, and as a PNG."""

import base64
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from supervision.answer.answer import Answer
from supervision.answer.text import UNKNOWN, kelvin
from supervision.explain.doping import DopingSeries
from supervision.explain.explanation import Explanation
from supervision.explain.figure import (
    LEAST_SHOWN,
    confidence,
    draw_explanation,
    draw_parts,
    reported,
)
from supervision.runtime.files import atomic_write
from supervision.runtime.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supervision.explain.contributions import Contributions
    from supervision.explain.sites import SiteWorth

STYLE = dedent("""
    :root { color-scheme: light dark; --text: #1b2a3a; --back: #fff; --line: #d5dee8;
      --soft: #52657a; --link: #2a6f97; }
    @media (prefers-color-scheme: dark) {
      :root { --text: #e6edf3; --back: #10161d; --line: #34414f; --soft: #a3b3c2; --link: #7cc0e8; }
    }
    body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
      max-width: 82rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
    h1, h2 { line-height: 1.2; margin: 0 0 0.5rem; }
    h2 { font-size: 1.2rem; }
    .tc { font-size: 2rem; font-weight: 700; }
    .soft { color: var(--soft); }
    main { columns: 2 30rem; column-gap: 2.5rem; margin-top: 2rem; }
    section { break-inside: avoid; margin-bottom: 2rem; }
    img { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
    details { overflow-x: auto; margin-top: 0.7rem; }
    summary { cursor: pointer; color: var(--link); }
    table { border-collapse: collapse; font-size: 0.9rem; }
    th, td { padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid var(--line);
      text-align: left; vertical-align: top; overflow-wrap: normal; }
""")
PAGE_FILE = "explanation.html"
FEATURES_SHOWN = 3  # of each group
DPI = 110
FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+")
ALWAYS_OPEN = 12  # rows of a table


def write_page(found: Explanation, path: Path) -> Path:
    """Write the HTML file, and the figure beside it; returns the path of the figure (.png).

    Raises OSError where they cannot be written.
    """
    png = io.BytesIO()
    draw_explanation(found).savefig(png, format="png", dpi=DPI)
    image = path.with_suffix(".png")
    for target, content in ((image, png.getvalue()), (path, html(found).encode())):
        with atomic_write(target) as file:
            file.write(content)
    return image


def html(found: Explanation) -> str:
    """The page: the answer, and for each part a figure, what it says, and its numbers."""
    figures = draw_parts(found)
    title = f"Why {escape(found.answer.formula)}"
    body = "\n".join([*_answer(found.answer), "<main>", *_parts(found, figures), "</main>"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>\n{body}\n"
        + "".join(f'<p class="soft">{escape(text)}</p>\n' for text in found.left_out())
        + "</body></html>\n"
    )


def _answer(answer: Answer) -> Iterator[str]:
    yield f"<h1>Why {formula_html(answer.formula)}</h1>"
    yield f'<p><span class="tc">{kelvin(answer.tc_kelvin, answer.decimals)} K</span> predicted Tc'
    chances = {
        "superconducting": answer.p_superconducting, "above 10 K": answer.p_above_10,
        "above 20 K": answer.p_above_20, "above 40 K": answer.p_above_40,
    }  # fmt: skip
    known = [f"{name} {p:.0%}" for name, p in chances.items() if math.isfinite(p)]
    facts = [*confidence(answer), *([f"probability: {', '.join(known)}"] if known else [])]
    yield "".join(f"<br>{escape(fact)}" for fact in facts) + "</p>"
    model = f", by model {answer.model_version}" if answer.model_version else ""
    yield f'<p class="soft">{escape(printable(answer.name) + model)}</p>'
    if answer.members:
        members = [f"{name} {kelvin(tc, 1)} K" for name, tc in answer.members.items()]
        yield f"<p>An ensemble: {escape(', '.join(members))}. Its members explain it.</p>"
    yield from (f"<p>{escape(printable(remark))}</p>" for remark in answer.remarks)


def formula_html(text: str) -> str:
    """Any text as HTML; the amounts of a formula as subscripts, without those of 1."""
    if not FORMULA.fullmatch(text):
        return escape(printable(text))
    parts = re.findall(r"([A-Z][a-z]?)([\d.]*)", text)
    return "".join(el + (f"<sub>{x}</sub>" if x not in ("", "1") else "") for el, x in parts)


def _parts(found: Explanation, figures: Mapping[str, "Figure"]) -> Iterator[str]:
    """A section of each part that there is."""
    if found.contributions:
        yield from _section(
            "What the features contribute", _contributions(found.contributions), figures["features"]
        )
    if found.sites:
        yield from _section("What the sites are worth", _sites(found.sites), figures["sites"])
    if found.series:
        yield from _section("Doping series", _series(found.series), figures["series"])
    if found.views:
        text = (
            f"The vision model predicts {found.views.tc_kelvin.mean():.1f} K, the mean over the "
            "views. The colours of each have a scale of its own. What lowers Tc, and what the "
            "colour statistics of the whole image add, is not shown."
        )
        yield from _section("What the views show", [f"<p>{text}</p>"], figures["views"])
    if found.answer.nearest:
        near = [
            (n.formula, reported(n.tc_kelvin), f"{n.distance:.3f}") for n in found.answer.nearest
        ]
        header = ("material", "measured Tc (K)", "distance in composition")
        yield from _section("Nearest known materials", [_table(header, near)])


def _section(title: str, content: Iterable[str], figure: "Figure | None" = None) -> Iterator[str]:
    yield f"<section><h2>{title}</h2>"
    if figure:
        yield f'<img alt="{title}" src="data:image/svg+xml;base64,{svg_base64(figure)}">'
    yield from content
    yield "</section>"


def svg_base64(figure: "Figure") -> str:
    """A figure for the address of an image: sharp at any size, and nothing in it can be run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return base64.b64encode(buffer.getvalue()).decode()


def _contributions(found: "Contributions") -> Iterator[str]:
    factor = ""
    if f"{found.factor:.2f}" != "1.00":
        factor = f" The calibration multiplies it by {found.factor:.2f}: {found.tc_kelvin:.1f} K."
    tc = f"{found.kelvin(found.prediction):.1f} K"
    yield (
        f"<p>Shapley values of boosted trees, in {found.unit}: the mean prediction, "
        f"{found.base:.2f}, and all contributions add up to {found.prediction:.2f}, which is {tc}."
        f"{factor} They say what the model uses, not what causes Tc.</p>"
    )
    rows = [
        (group, f"{value:+.2f}", _features(found, group))
        for group, value in found.groups.items()
        if abs(value) >= LEAST_SHOWN
    ]
    yield _table(("features", f"contribution ({found.unit})", "of which"), rows)


def _features(found: "Contributions", group: str) -> str:
    names = [
        name
        for name in found.largest(group, FEATURES_SHOWN)
        if abs(found.features[name]) >= LEAST_SHOWN
    ]
    return "; ".join(f"{found.described(name)}: {found.features[name]:+.2f}" for name in names)


def _sites(found: "SiteWorth") -> Iterator[str]:
    yield (
        f"<p>The graph model predicts {found.tc_kelvin:.1f} K. With average atoms on all sites of "
        "one kind, its prediction is lower by so much (higher, where that is negative). These "
        "numbers do not add up to Tc.</p>"
    )
    rows = [(o.label, str(len(o.sites)), f"{o.kelvin:+.2f}") for o in found.orbits]
    yield _table(("species", "sites of this kind", "worth (K)"), rows)


def _series(found: DopingSeries) -> Iterator[str]:
    yield "<p>The model has learned from these materials, so it is near to most of them.</p>"
    rows = [
        (p.formula, f"{p.fraction:.3f}", reported(p.tc_kelvin), _number(p.tc_predicted))
        for p in found.points
    ]
    share = f"atomic fraction of {found.element}"
    yield _table(("material", share, "measured Tc (K)", "predicted Tc (K)"), rows)


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else UNKNOWN


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a long one is closed until a reader opens it."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{formula_html(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    shown = " open" if len(rows) <= ALWAYS_OPEN else ""
    return (
        f"<details{shown}><summary>numbers ({len(rows)} rows)</summary>"
        f"<table><tr>{head}</tr>\n{body}</table></details>"
    )
