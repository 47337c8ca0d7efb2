"""The Tc of a crystal as one element replaces another, by the fast model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from supervision.answer.known import KnownMaterials
from supervision.data.cif_writer import structure_to_cif
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.elements import element
from supervision.data.errors import CrystalError
from supervision.data.substitution import dopant_fraction, site_elements, substituted
from supervision.web.site import ServedModel

STEPS = 40  # from host to dopant
ON_SERIES = 0.02  # distance in composition; the oxygen contents of a series differ by less
FIELDS = ("formula", "tc_kelvin", "tc_lower", "tc_upper", "p_superconducting", "domain")


def substitution_series(
    model: ServedModel, crystal: Crystal, host: str, dopant: str
) -> dict[str, Any]:
    """Predicted points from fraction 0 to 1, and the measured materials on the series.

    Raises CrystalError with one sentence for elements that cannot replace each other, and for a
    point that the model cannot predict.
    """
    structure = crystal.structure
    fractions = [step / STEPS for step in range(STEPS + 1)]
    crystals = [doped(crystal, host, dopant, fraction) for fraction in fractions]
    rows = [answer.to_row() for answer in model.answerer.answer(crystals)]
    if failed := next((row for row in rows if row["error"]), None):
        raise CrystalError(f"{failed['name']}: {failed['error']}")
    points = [
        {"fraction": fraction, **{name: row[name] for name in FIELDS}}
        for fraction, row in zip(fractions, rows, strict=True)
    ]
    known = model.answerer.known
    return {
        "host": host,
        "dopant": dopant,
        "fraction": dopant_fraction(structure, host, dopant),
        "points": points,
        "measured": [] if known is None else _measured(known, crystals, host, dopant),
        "model": model.name,
    }


def doped(crystal: Crystal, host: str, dopant: str, fraction: float) -> Crystal:
    """The crystal with a fraction of the host replaced by the dopant, named by what it is.

    Raises CrystalError with one sentence.
    """
    structure = substituted(crystal.structure, host, dopant, fraction)
    name = structure.composition.reduced_formula
    return Crystal(name, name, structure_to_cif(structure))


def _measured(
    known: KnownMaterials, crystals: Sequence[Crystal], host: str, dopant: str
) -> list[dict[str, Any]]:
    """Measured materials of the same elements that are next to a crystal of the series."""
    fractions = np.stack([atomic_fractions(c.composition) for c in crystals]).astype(np.float32)
    others = known.fractions[:, ~fractions.any(axis=0)].any(axis=1)
    distance = np.min([known.distances(row) for row in fractions], axis=0)
    rows = np.flatnonzero((distance <= ON_SERIES) & ~others & ~known.is_computed)
    shares = _shares(known.fractions[rows], crystals[0], host, dopant)
    order = np.argsort(shares, kind="stable")
    return [
        {"formula": known.formulas[rows[i]], "fraction": float(shares[i]),
         "tc_kelvin": float(known.tc[rows[i]])}
        for i in order
    ]  # fmt: skip


def _shares(fractions: np.ndarray, undoped: Crystal, host: str, dopant: str) -> np.ndarray:
    """The fraction x of the dopant on the sites of the host, for compositions ``[n, 118]``, [n].

    With t sites of the host and d atoms of the dopant elsewhere, dopant / host is
    q = (x t + d) / ((1 - x) t), so that x = (q t - d) / (q t + t).
    """
    amounts = [site_elements(site) for site in undoped.structure]
    t = sum(found.get(host, 0.0) for found in amounts)
    d = sum(found.get(dopant, 0.0) for found in amounts)
    of_host, of_dopant = (fractions[:, element(name).number - 1] for name in (host, dopant))
    shares = (of_dopant * t - of_host * d) / np.maximum((of_dopant + of_host) * t, 1e-12)
    return np.asarray(np.clip(shares, 0, 1))
