"""An explanation as one HTML file that needs no other file and no network, and as a PNG."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from textwrap import dedent

from supervision.answer.text import answers_text
from supervision.explain.contributions import Contributions
from supervision.explain.doping import DopingSeries
from supervision.explain.explanation import Explanation
from supervision.explain.figure import draw_explanation
from supervision.explain.sites import SiteWorth
from supervision.runtime.files import atomic_write

STYLE = dedent("""
    body { font: 16px/1.5 system-ui, sans-serif; color: #1b2a3a; max-width: 80rem;
      margin: 2rem auto; padding: 0 1.5rem; }
    img { max-width: 100%; height: auto; }
    pre { overflow-x: auto; font-size: 0.8rem; }
    table { border-collapse: collapse; font-size: 0.9rem; }
    th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #d5dee8; text-align: left; }
""")
FEATURES_SHOWN = 3  # of each group
DPI = 110


def write_page(found: Explanation, path: Path) -> Path:
    """Write the HTML file, and the figure beside it; returns the path of the figure (.png).

    Raises OSError where they cannot be written.
    """
    buffer = io.BytesIO()
    draw_explanation(found).savefig(buffer, format="png", dpi=DPI)
    image = path.with_suffix(".png")
    page = html(found, buffer.getvalue()).encode()
    for target, content in ((image, buffer.getvalue()), (path, page)):
        with atomic_write(target) as file:
            file.write(content)
    return image


def html(found: Explanation, png: bytes) -> str:
    """The page with the figure in it."""
    title = escape(f"Why {found.answer.formula}")
    image = f'<img alt="{title}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    body = "\n".join([
        f"<h1>{title}</h1>", f"<pre>{escape(answers_text([found.answer]))}</pre>", image,
        *_sections(found),
    ])  # fmt: skip
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _sections(found: Explanation) -> Iterator[str]:
    """Tables of the parts that there are."""
    if found.contributions:
        yield from _contributions(found.contributions)
    if found.sites:
        yield from _sites(found.sites)
    if found.series:
        yield from _series(found.series)
    if found.answer.nearest:
        yield "<h2>Nearest known materials</h2>"
        near = [
            (n.formula, f"{n.tc_kelvin:.3g}", f"{n.distance:.3f}") for n in found.answer.nearest
        ]
        yield _table(("material", "measured Tc (K)", "distance"), near)


def _contributions(found: Contributions) -> Iterator[str]:
    yield "<h2>What the features contribute</h2>"
    yield (
        f"<p>Shapley values in {found.unit}: the mean of the training, {found.base:.2f}, and all "
        f"contributions add up to the prediction, {found.prediction:.2f}, which is "
        f"{found.kelvin(found.prediction):.1f} K. The calibration multiplies it by "
        f"{found.factor:.2f}: {found.tc_kelvin:.1f} K.</p>"
    )
    rows = [
        (group, f"{value:+.2f}", _features(found, group)) for group, value in found.groups.items()
    ]
    yield _table(("features", f"contribution ({found.unit})", "of which"), rows)


def _features(found: Contributions, group: str) -> str:
    names = found.largest(group, FEATURES_SHOWN)
    return "; ".join(f"{found.described(name)}: {found.features[name]:+.2f}" for name in names)


def _sites(found: SiteWorth) -> Iterator[str]:
    yield "<h2>What the sites are worth</h2>"
    yield (
        f"<p>The graph model predicts {found.tc_kelvin:.1f} K. With average atoms on all sites of "
        "one kind, its prediction is lower by so much (higher, where that is negative):</p>"
    )
    rows = [(o.species, str(len(o.sites)), f"{o.kelvin:+.2f}") for o in found.orbits]
    yield _table(("species", "equivalent sites", "worth (K)"), rows)


def _series(found: DopingSeries) -> Iterator[str]:
    yield "<h2>Doping series</h2>"
    yield "<p>The model has learned from these materials, so it is near to most of them.</p>"
    rows = [
        (p.formula, f"{p.fraction:.3f}", f"{p.tc_kelvin:.3g}", f"{p.tc_predicted:.3g}")
        for p in found.points
    ]
    share = f"atomic fraction of {found.element}"
    yield _table(("material", share, "measured Tc (K)", "predicted Tc (K)"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>\n{body}</table>"
