"""Searches among the variants of parents: in full where they are few, else by NSGA-II of Optuna.

Deb, Pratap, Agarwal and Meyarivan, IEEE Trans. Evol. Comput. 6, 182 (2002).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import Trial

from supervision.answer.answerer import Answerer
from supervision.design.folders import make_empty_folder
from supervision.design.substitutions.folder import write_found
from supervision.design.substitutions.found import Found
from supervision.design.substitutions.goals import Goal
from supervision.design.substitutions.parents import given_crystals, read_parents
from supervision.design.substitutions.search import (
    ASKED_AT_ONCE,
    WORST,
    Asked,
    SearchOptions,
    Space,
    load_calibrated,
    search_options,
)
from supervision.generation.variants import Parent, Variant
from supervision.runtime.progress import track
from tracking.serving.models import find_model

LEAST_POSITION = 1e-3  # along the parents and changes by rank; on a logarithmic scale from here
MOST_POINTS = 3  # per trial; in a small space most points were asked before


def search(
    answerer: Answerer,
    goal: Goal,
    parents: Sequence[Parent],
    refused: Mapping[str, str],
    options: SearchOptions,
) -> Found:
    """The best variants by a goal; the same seed gives the same ones.

    A space of up to ``trials`` variants is asked in full. Of a larger one all single replacements
    are asked first, where they are up to ``trials``, so that no sampling misses the best of them;
    the rest are pairs that are sampled, mostly of the best singles.

    Args:
        refused: parents that could not be read, with the reason.
    """
    asked = Asked(answerer, goal, options.known)
    space = Space(asked.by_known_tc(parents), options)
    every = space.if_fewer(options.trials)
    singles = None
    if every is None and options.replacements > 1:
        singles = space.if_fewer(options.trials, replacements=1)
    listed = every or singles or []
    starts = range(0, len(listed), ASKED_AT_ONCE)
    batches = [listed[start : start + ASKED_AT_ONCE] for start in starts]
    for batch in track(batches, total=len(listed), desc="asking", unit="candidate", size=len):
        asked.ask(batch)
    if every is None:
        ranked = space if singles is None else replace(space, rank=asked.rank)
        sampled = sample(ranked, asked, options, only_pairs=singles is not None)
        rest = options.trials - len(asked.hits)
        for _ in track(sampled, total=rest, desc="sampling", unit="candidate", size=int):
            pass
    return Found.of(asked, options, len(parents), refused, is_complete=every is not None)


def search_given(
    given: Any,
    goal: Goal,
    model: str | Path | None,
    out: str | Path | None,
    settings: Mapping[str, Any],
) -> Found:
    """A search among parents as Python gives them; see ``supervision.substitute``."""
    options = search_options(settings)
    folder = None if out is None else Path(out).expanduser()
    if folder is not None:
        make_empty_folder(folder)
    answerer = load_calibrated(find_model(model))
    found = search(answerer, goal, *read_parents(given_crystals(given)), options)
    if folder is not None:
        write_found(found, folder)
    return found


def sample(
    space: Space, asked: Asked, options: SearchOptions, *, only_pairs: bool = False
) -> Iterator[int]:
    """Ask for variants that NSGA-II chooses until ``trials`` are asked, earlier ones among them.

    A point where there is no variant, or one that was asked before, counts as the worst, so that
    the population does not end as copies of a few; there are at most ``MOST_POINTS`` times as many
    points as trials. Yields the number of new candidates of each generation.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = NSGAIISampler(population_size=ASKED_AT_ONCE, seed=options.seed)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    for _ in range(0, MOST_POINTS * options.trials, ASKED_AT_ONCE):
        before = len(asked.hits)
        if before >= options.trials:
            return
        generation = [study.ask() for _ in range(min(ASKED_AT_ONCE, options.trials - before))]
        points = [_new_variant(trial, space, asked, only_pairs) for trial in generation]
        hits = iter(asked.ask(variant for variant in points if variant is not None))
        for trial, variant in zip(generation, points, strict=True):
            hit = None if variant is None else next(hits)
            is_wanted = hit is not None and asked.wants(hit)
            study.tell(trial, asked.goal.traded(hit) if hit and is_wanted else WORST[:2])
        yield len(asked.hits) - before


def _new_variant(trial: Trial, space: Space, asked: Asked, only_pairs: bool) -> Variant | None:
    """The variant of a trial; None where there is none at its point, or it was asked before."""
    parent = _position(trial, "parent")
    first = _position(trial, "first")
    second = None
    if only_pairs or (space.options.replacements > 1 and trial.suggest_int("pair", 0, 1)):
        second = _position(trial, "second")
    found = space.at(parent, first, second)
    return None if found is None or found.key in asked.hits else found


def _position(trial: Trial, name: str) -> float:
    return trial.suggest_float(name, LEAST_POSITION, 1, log=True)
