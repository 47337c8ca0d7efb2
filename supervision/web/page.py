"""The page, rendered once: all that it shows besides what its scripts ask for."""

import json
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from pymatgen.core import Element

from supervision.data.cif import MAX_CIF_BYTES
from supervision.data.datasets.classics import read_table
from supervision.data.elements import ELEMENTS
from supervision.explain.explanation import members_of
from supervision.runtime.templates import html_templates
from supervision.runtime.version import code_version, package_version
from supervision.web.site import Site

TEMPLATES = Path(__file__).parent / "templates"
BATCH_ROWS = 16  # that the page sends at once, so that it can show its progress
ISOTOPES = {"D", "T"}
EXAMPLES = (
    "lsco0.15", "yba2cu3o6.93", "ba0.6k0.4fe2as2", "lafeaso0.89f0.11", "mgb2", "nb3sn", "yni2b2c",
    "lao0.5f0.5bis2", "pbmo6s8", "nb",
)  # fmt: skip


def render_page(site: Site) -> str:
    """The HTML text of the page."""
    return html_templates(TEMPLATES).get_template("page.html").render(page_context(site))


def page_context(site: Site) -> dict[str, Any]:
    """What the template is rendered with."""
    quantity = site.model.answerer.quantity
    property_name = "critical temperature" if quantity.is_tc else quantity.symbol
    card = MarkdownIt("commonmark", {"html": False}).enable("table").render(site.model.card)
    model = {name: getattr(site.model, name) for name in ("name", "reason", "description")}
    entries = {entry.id: entry for entry in read_table()}
    examples = [
        {"id": name, "name": entries[name].formula, "note": entries[name].family}
        for name in EXAMPLES
    ]
    return {
        "model": model | {"card": card},
        "quantity": quantity,
        "property": property_name,
        "property_title": property_name[0].upper() + property_name[1:],
        "quantity_json": json.dumps(
            {name: getattr(quantity, name) for name in ("name", "symbol", "label", "unit", "is_tc")}
        ),
        "examples": examples,
        "dopants": [
            {"symbol": symbol, "name": Element(symbol).long_name}
            for symbol in ELEMENTS
            if symbol not in ISOTOPES
        ],
        "version": package_version(),
        "code": code_version(),
        "sees_views": any(
            member.model_family == "vision"
            for member in members_of(site.model.answerer.predictor).values()
        ),
        "limits": {"characters": MAX_CIF_BYTES, "batch": BATCH_ROWS},
    }
