"""The report of a screening: one HTML file that needs no other file, no script and no network."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from supervision.answer.answer import Answer
from supervision.answer.kelvin import kelvin
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, crystal_errors
from supervision.explain.figure import reported
from supervision.explain.page import formula_html, svg_base64
from supervision.runtime.files import atomic_write
from supervision.runtime.templates import html_templates
from supervision.runtime.text import printable
from supervision.screening.figures import draw_candidate, draw_summary
from supervision.screening.outcome import Screening
from supervision.screening.ranking import Ranking, answer_of
from supervision.screening.summary import interval_width
from supervision.screening.worker import Row

CAPTIONS = {
    "distribution": "How many candidates have which predicted Tc, by domain.",
    "front": "How many candidates have which predicted Tc and which width of its 90% interval.",
    "domains": "The shares of the domains among the candidates.",
}


def write_report(
    found: Screening,
    ranking: Ranking,
    crystals: Sequence[Crystal],
    description: str,
) -> None:
    """Write the report of a screening.

    Args:
        crystals: those of the first candidates.
        description: of the model, in one line.
    """
    figures = {
        name: {"image": svg_base64(figure), "caption": CAPTIONS[name]}
        for name, figure in draw_summary(ranking.summary).items()
    }
    cards = [
        _card(number, row, crystal)
        for number, (row, crystal) in enumerate(zip(ranking.top, crystals, strict=True), start=1)
    ]
    page = _template().render(
        title=f"Screening {_source_name(found.source)}",
        found=found,
        description=description,
        figures=figures,
        cards=cards,
        front=[_line(row) for row in reversed(ranking.summary.front)],
    )
    with atomic_write(found.report) as file:
        file.write(page.encode())


def _template() -> Any:
    environment = html_templates(Path(__file__).parent / "templates")
    environment.filters["formula"] = lambda text: Markup(formula_html(text))
    return environment.get_template("report.html")


def _source_name(source: str) -> str:
    """The last part of a path; an address as it is."""
    return printable(source if "://" in source else Path(source).name or source)


def _card(number: int, row: Row, crystal: Crystal) -> dict[str, Any]:
    """What the report shows of a candidate."""
    answer = answer_of(row)
    return _line(row) | {
        "rank": number,
        "picture": _picture(crystal),
        "chances": _chances(answer),
        "facts": list(_facts(row)),
        "nearest": [
            {
                "formula": near.formula, "tc": reported(near.tc_kelvin),
                "distance": f"{near.distance:.3f}",
            }
            for near in answer.nearest
        ],
        "members": [(name, kelvin(tc, 1)) for name, tc in answer.members.items()],
        "remarks": list(map(printable, answer.remarks)),
    }  # fmt: skip


def _picture(crystal: Crystal) -> str:
    """The cell as SVG; empty for a formula, and for a crystal that cannot be drawn."""
    if not crystal.cif:
        return ""
    try:
        with crystal_errors():
            return svg_base64(draw_candidate(crystal))
    except CrystalError:
        return ""


def _line(row: Row) -> dict[str, Any]:
    """What a table shows of a candidate."""
    answer = answer_of(row)
    has_interval = math.isfinite(answer.tc_upper)
    low, high = (kelvin(t, answer.decimals) for t in (answer.tc_lower, answer.tc_upper))
    return {
        "id": printable(answer.name),
        "formula": answer.formula,
        "tc": kelvin(answer.tc_kelvin, answer.decimals),
        "interval": f"{low} to {high}" if has_interval else "",
        "width": kelvin(interval_width(row), answer.decimals) if has_interval else "",
        "domain": answer.domain,
    }


def _chances(answer: Answer) -> list[tuple[str, int]]:
    """What the model gives a probability, in percent."""
    given = {
        "a Tc": answer.p_superconducting, "> 10 K": answer.p_above_10,
        "> 20 K": answer.p_above_20, "> 40 K": answer.p_above_40,
    }  # fmt: skip
    return [(name, round(100 * p)) for name, p in given.items() if math.isfinite(p)]


def _facts(row: Row) -> Iterator[str]:
    if row["atoms"]:
        kind = "disordered" if row["is_disordered"] else "ordered"
        yield f"{row['atoms']} atoms, {kind}"
    if row["novelty"] is not None:
        yield f"{row['novelty']:.3f} from the nearest superconductor"
    if row["energy_above_hull"] is not None:
        yield f"{row['energy_above_hull']:.3f} eV per atom above the hull"
