"""Dopings, searches, hand-overs and ladders in the run of ``mlflow run``: files and numbers."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import mlflow
import pandas as pd

from supervision.design.doping.dope import DopeOptions, DopingResult
from supervision.design.doping.report import doping_rows, highest_sentence
from supervision.design.substitutions.found import Found
from supervision.design.theory.hand_over import HandedOver, HandOverOptions
from supervision.design.theory.ladder import Ladder
from supervision.design.theory.ladder_report import ladder_figure, ladder_rows, ladder_text
from tracking import runs
from tracking.description import describe_run

TEXT_FILE, TABLE_FILE, FIGURE_FILE = "ladder.txt", "ladder.csv", "ladder.png"
DOPING_TEXT, DOPING_TABLE, DOPING_FIGURE = "doping.txt", "doping.csv", "doping.png"
HIGHEST = ("tc_kelvin", "tc_lower", "tc_upper")  # of the point of highest Tc


def log_hand_over(done: Sequence[HandedOver], folder: Path, options: HandOverOptions) -> None:
    """Log the folder as artifacts, and how many crystals it holds."""
    runs.log_settings(asdict(options), {"model_family": "hand_over"})
    handed_over = sum(one.cell is not None for one in done)
    runs.log_metrics({"handed_over": handed_over, "refused": len(done) - handed_over})
    mlflow.log_artifacts(str(folder))


def log_ladder(found: Ladder) -> None:
    """Log the text, the rungs as CSV, the figure, and the expected hits as metrics."""
    runs.log_settings(asdict(found.options), {"model_family": "ladder"})
    runs.log_metrics(
        {f"hits_{rung.name}{suffix}": value
         for rung in found.rungs
         for suffix, value in zip(("", "_low", "_high"), rung.hits, strict=True)}
    )  # fmt: skip
    mlflow.log_text(ladder_text(found), TEXT_FILE)
    runs.log_table(pd.DataFrame(ladder_rows(found)), TABLE_FILE)
    mlflow.log_figure(ladder_figure(found), FIGURE_FILE)


def log_doping(found: DopingResult, options: DopeOptions) -> None:
    """Log the text, points and measured materials as CSV, the figure, and the highest Tc."""
    runs.log_settings(asdict(options), {"model_family": "dope", "formula": found.undoped})
    point = found.highest
    numbers = {name: float(getattr(point.answer, name)) for name in HIGHEST}
    numbers |= {
        f"fraction_{pair.dopant}": fraction
        for pair, fraction in zip(found.substitutions, point.fractions, strict=True)
    }
    numbers["measured"] = len(found.measured)
    runs.log_metrics({name: value for name, value in numbers.items() if math.isfinite(value)})
    mlflow.log_text(str(found), DOPING_TEXT)
    runs.log_table(pd.DataFrame(doping_rows(found)), DOPING_TABLE)
    mlflow.log_figure(found.plot(), DOPING_FIGURE)
    describe_run(
        f"Tc of {found.undoped} with {' and '.join(map(str, found.substitutions))}.",
        highest_sentence(found),
        {DOPING_FIGURE: "the figure", DOPING_TEXT: "what supports it"},
        metrics=HIGHEST,
    )


def log_search(found: Found, folder: Path, family: str) -> None:
    """Log the folder as artifacts, the counts, and the first number of the best candidate."""
    runs.log_settings(asdict(found.options), {"model_family": family})
    numbers = {
        "asked": found.asked, "ranked": len(found.hits), "known": found.known,
        "unreadable": sum(found.unreadable.values()), "parents": found.parents,
        "highest_tc": found.highest,
    }  # fmt: skip
    best = {"best": found.goal.value(found.hits[0])} if found.hits else {}
    runs.log_metrics({name: float(value) for name, value in (numbers | best).items()})
    mlflow.log_artifacts(str(folder))
