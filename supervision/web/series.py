"""The doping curve of the page, by the fast model."""

from typing import Any

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.substitution import Substitution
from supervision.design.doping.curve import CURVE_POINTS, doping, fractions_to
from supervision.web.site import ServedModel

FIELDS = ("formula", "tc_kelvin", "tc_lower", "tc_upper", "p_superconducting", "domain")


def substitution_series(model: ServedModel, crystal: Crystal, pair: Substitution) -> dict[str, Any]:
    """Predicted points from fraction 0 to 1, and the measured materials on the series, for JSON.

    Raises CrystalError with one sentence for elements that cannot replace each other, and for a
    point that the model cannot predict.
    """
    answerer = model.answerer
    axes = [fractions_to(1.0, CURVE_POINTS)]
    found = doping(answerer.answer, answerer.known, crystal, [pair], axes)
    rows = [(point.fractions[0], point.answer.to_row()) for point in found.points]
    if failed := next((row for _, row in rows if row["error"]), None):
        raise CrystalError(f"{failed['name']}: {failed['error']}")
    return {
        **pair._asdict(),
        "fraction": found.own[0],
        "points": [{"fraction": x, **{name: row[name] for name in FIELDS}} for x, row in rows],
        "measured": [
            {"formula": m.formula, "fraction": m.fractions[0], "tc_kelvin": m.tc_kelvin}
            for m in found.measured
        ],
        "model": model.name,
    }
