"""A saved model with what it knows of itself: crystals in, answers out.

    answerer = Answerer.load(folder)
    answers = answerer.answer(crystals)

What it computes once is the same in every thread, so threads can share it.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supervision.answer.answer import Answer
from supervision.answer.calibration import CALIBRATION_FILE, Calibration
from supervision.answer.domain import DOMAINS
from supervision.answer.known import KNOWN_FILE, SAME, KnownMaterials, Neighbour
from supervision.data.composition_distance import atomic_fractions
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError, crystal_errors
from supervision.data.formulas import crystal_formula
from supervision.data.quantity import TC, Quantity
from supervision.models.ensemble.predictor import EnsemblePredictor
from supervision.models.families import load_predictor
from supervision.models.predictor import PROVENANCE_FILE, SavedPredictor
from supervision.runtime.text import printable

ANSWER_FOLDER = "answer"  # in that of the predictor
HYDRIDE = 0.5  # atomic fraction of hydrogen from which a material is one
THRESHOLDS = {"p_above_10": 10, "p_above_20": 20, "p_above_40": 40}  # K


@dataclass(frozen=True)
class Answerer:
    """A model, the materials that it has learned from, and how far it missed others.

    Attributes:
        calibration: None for a model that was saved without one.
        version: which model this is, in a word.
        quantity: what it predicts.
    """

    predictor: SavedPredictor
    known: KnownMaterials | None
    calibration: Calibration | None
    version: str
    quantity: Quantity = TC

    @classmethod
    def load(cls, folder: Path) -> "Answerer":
        """The model in the folder of a saved predictor.

        Raises FileNotFoundError or ValueError where there is none that this code can read.
        """
        own, origin = folder / ANSWER_FOLDER, folder / PROVENANCE_FILE
        provenance = json.loads(origin.read_text()) if origin.is_file() else {}
        quantity = Quantity.of_model(provenance)
        return cls(
            load_predictor(folder),
            known_in(folder),
            Calibration.load(own, quantity) if (own / CALIBRATION_FILE).is_file() else None,
            provenance.get("run_id", ""),
            quantity,
        )

    def answer(self, crystals: Sequence[Crystal]) -> list[Answer]:
        """The answers for crystals, in their order; one that cannot be read has its error there."""
        try:
            return self._answer_all(crystals) if crystals else []
        except CrystalError as error:
            if len(crystals) > 1:
                return [answer for crystal in crystals for answer in self.answer([crystal])]
            (crystal,) = crystals
            message = str(error).removeprefix(f"{printable(crystal.id)}: ")
            facts = _facts_if_readable(crystal)
            return [Answer(crystal.id, **facts, error=message, quantity=self.quantity)]

    def probability_above(self, threshold: float, answers: Sequence[Answer]) -> np.ndarray:
        """The probability of a Tc above a threshold in kelvin, of answers of this model, [n].

        NaN where too few materials were predicted to say, and of an answer with an error.
        """
        found = np.full(len(answers), np.nan)
        rows = [row for row, answer in enumerate(answers) if answer.domain]
        if self.calibration is not None and rows:
            tc = np.array([answers[row].tc_kelvin for row in rows])
            domain = np.array([DOMAINS.index(answers[row].domain) for row in rows])
            found[rows] = self.calibration.probability_above(threshold, tc, domain)
        return found

    def _answer_all(self, crystals: Sequence[Crystal]) -> list[Answer]:
        """Raises CrystalError, naming the crystal, for the first that cannot be read."""
        rows: list[dict[str, Any]] = [_facts(crystal) for crystal in crystals]
        tc, members = _predict(self.predictor, crystals)
        fractions = [atomic_fractions(crystal.composition) for crystal in crystals]
        around = [self.known.surroundings(own) for own in fractions] if self.known else []
        uncertain = self._uncertainty(tc, np.array([own.domain for own in around]))
        for number, (row, crystal) in enumerate(zip(rows, crystals, strict=True)):
            row |= {name: float(values[number]) for name, values in uncertain.items()}
            nearest = around[number].nearest if around else ()
            row["domain"] = DOMAINS[around[number].domain] if around else ""
            row["nearest"] = nearest
            row["remarks"] = tuple(self._remarks(crystal, fractions[number], nearest))
            row["members"] = {name: float(of[number]) for name, of in members.items()}
            if np.isnan(list(row["members"].values())).any():
                row["remarks"] += (_answered_by(row["members"]),)
        own: dict[str, Any] = {"model_version": self.version, "quantity": self.quantity}
        return [
            Answer(crystal.id, tc_kelvin=float(value), **own, **row)
            for crystal, value, row in zip(crystals, tc, rows, strict=True)
        ]

    def _uncertainty(self, tc: np.ndarray, domain: np.ndarray) -> dict[str, np.ndarray]:
        """The fields that follow from a calibration, each ``[n]``; none without domains."""
        if self.calibration is None or not len(domain):
            return {}
        interval = self.calibration.interval(tc, domain)
        found = {
            "tc_lower": interval[:, 0],
            "tc_upper": interval[:, 1],
            "domain_error": self.calibration.error(domain),
        }
        if not self.quantity.is_tc:
            return found
        probabilities = {
            name: self.calibration.probability_above(threshold, tc, domain)
            for name, threshold in THRESHOLDS.items()
        }
        reported = self.calibration.probability_reported(tc, domain)
        superconducting = np.maximum(reported, probabilities["p_above_10"])
        return found | probabilities | {"p_superconducting": superconducting}

    def _remarks(
        self, crystal: Crystal, fractions: np.ndarray, nearest: Sequence[Neighbour]
    ) -> Iterator[str]:
        """Sentences on what limits the answer for a composition ``[118]``."""
        known, quantity = self.known, self.quantity
        if nearest and nearest[0].distance <= SAME:
            yield f"In the training data: {_reported(nearest[0].tc_kelvin, quantity)}."
        if not crystal.cif:
            yield "From the formula alone, without a structure."
        if known is not None:
            new = {el.Z: el.symbol for el in crystal.composition if not known.elements[el.Z - 1]}
            if new:
                yield f"No training material has {', '.join(new.values())}."
            elif not known.has_element_set(fractions):
                symbols = sorted(element.symbol for element in crystal.composition)
                yield f"No training material has just these elements: {', '.join(symbols)}."
        if quantity.is_tc and fractions[0] >= HYDRIDE:
            yield (
                "A hydride: those that superconduct near room temperature do so under a pressure "
                "that a crystal structure does not state."
            )


def known_in(folder: Path) -> KnownMaterials | None:
    """The materials that the predictor saved in a folder has learned from, if they are there."""
    own = folder / ANSWER_FOLDER
    return KnownMaterials.load(own) if (own / KNOWN_FILE).is_file() else None


def _predict(
    predictor: SavedPredictor, crystals: Sequence[Crystal]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Tc in kelvin, [n], and that of each member of an ensemble that answered."""
    if not isinstance(predictor, EnsemblePredictor):
        return predictor.predict(crystals), {}
    found = predictor.predict_members(crystals)
    return predictor.combine(found), dict(zip(predictor.members, found.T, strict=True))


def _answered_by(members: Mapping[str, float]) -> str:
    """Which members of an ensemble answered, in a sentence; NaN is the Tc of the others."""
    first, *others = [name for name, tc in members.items() if not math.isnan(tc)]
    by = f"the mean of the models {', '.join([first, *others])}" if others else f"the {first} model"
    return f"Answered by {by} alone; the interval is that of the whole ensemble."


def _facts(crystal: Crystal) -> dict[str, Any]:
    """What was read: formula, atoms, disorder. Raises CrystalError, naming the crystal."""
    with crystal_errors(crystal.id):
        formula = crystal_formula(crystal)
        if not crystal.cif:
            return {"formula": formula}
        structure = crystal.structure
        return {
            "formula": formula,
            "atoms": len(structure),
            "is_disordered": not structure.is_ordered,
        }


def _facts_if_readable(crystal: Crystal) -> dict[str, Any]:
    try:
        return _facts(crystal)
    except CrystalError:
        return {}


def _reported(value: float, quantity: Quantity) -> str:
    """What the training data say of a material."""
    if not quantity.is_tc:
        return f"its {quantity.symbol} is {quantity.with_unit(f'{value:.3g}')}"
    return f"a Tc of {value:.3g} K was reported" if value else "no Tc was reported"
