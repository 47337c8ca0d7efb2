"""Substitutions: how well cells are scaled, and what a sampled search finds of an enumerated one.

python -m benchmarks.substitutions --data 3DSC_MP.tar.xz    # results/substitutions.md
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
from pymatgen.core import Composition, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from supervision.answer.answerer import Answerer
from supervision.answer.released import find_released
from supervision.data.elements import ATOMIC_RADIUS
from supervision.design.substitutions.goals import Goal, HighTc, TargetTc
from supervision.design.substitutions.parents import named_crystals, read_parents
from supervision.design.substitutions.search import SearchOptions, Space, load_calibrated
from supervision.generation.cells import elemental_volume
from supervision.generation.variants import Key, Parent
from supervision.screening.sources.parents import dataset_crystals
from tracking.substitution_search import search

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "structures"
SEARCHED = ("LaFeAsO0.9F0.1.cif", "MgB2.cif")
OPTIONS = SearchOptions(replacements=2, trials=20_000)
TRIALS, SEEDS, BEST = 1_000, 3, 100
MOST_ATOMS, PAIRS_PER_TYPE = 24, 200


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="", help="a local copy of 3DSC; empty: download")
    print_volumes(parser.parse_args().data)
    print_searches()


def print_volumes(data: str) -> None:
    """The error of volumes over pairs of compounds that differ in one element."""
    parents, _ = read_parents(dataset_crystals("3dsc", data))
    pairs = list(_isostructural_pairs(parents))
    print(f"\n| volume of {len(pairs):,} pairs | mean error | median |\n|---|---|---|")
    ways = {
        "kept": lambda composition: composition.num_atoms,
        "by radii cubed": lambda c: sum(ATOMIC_RADIUS[e.symbol] ** 3 * x for e, x in c.items()),
        "by volumes of the elements": elemental_volume,
    }
    for name, size in ways.items():
        errors = [
            abs(np.log(size(b.composition) / size(a.composition) * a.volume / b.volume))
            for a, b in pairs
        ]
        print(f"| {name} | {np.mean(errors):.1%} | {np.median(errors):.1%} |")


def _isostructural_pairs(parents: list[Parent]) -> Iterator[tuple[Structure, Structure]]:
    """Structures of equal space group and numbers of atoms that differ in one element."""
    types = defaultdict(list)
    for parent in parents:
        structure = parent.structure
        if structure.is_ordered and len(structure) <= MOST_ATOMS:
            number = SpacegroupAnalyzer(structure, 0.01).get_space_group_number()
            anonymous = structure.composition.anonymized_formula
            types[number, anonymous, len(structure)].append(structure)
    random = Random(0)
    for structures in types.values():
        pairs = list(combinations(structures, 2))
        random.shuffle(pairs)
        for a, b in pairs[:PAIRS_PER_TYPE]:
            if _differ_in_one_element(a.composition, b.composition):
                yield a, b


def _differ_in_one_element(one: Composition, other: Composition) -> bool:
    left, right = set(one) - set(other), set(other) - set(one)
    same = all(one[element] == other[element] for element in set(one) & set(other))
    return len(left) == len(right) == 1 and same and one[left.pop()] == other[right.pop()]


def print_searches() -> None:
    """Of the best of a space, how many a sampled search finds, and how many chance does."""
    parents, _ = read_parents(named_crystals([EXAMPLES / name for name in SEARCHED]))
    answerer = load_calibrated(find_released("fast"))
    print(f"\n| goal | of | trials | seed | best {BEST} found | by chance |")
    print("|---|---|---|---|---|---|")
    size = sum(1 for _ in Space(parents, OPTIONS).all())
    for goal in (HighTc(20), TargetTc(40)):
        every = _best(answerer, goal, parents, OPTIONS)
        best = set(every[:BEST])
        for seed in range(SEEDS):
            options = replace(OPTIONS, trials=TRIALS, seed=seed)
            found = best & set(_best(answerer, goal, parents, options))
            chance = BEST * TRIALS / size
            name = type(goal).__name__
            print(f"| {name} | {size:,} | {TRIALS:,} | {seed} | {len(found)} | {chance:.0f} |")


def _best(
    answerer: Answerer, goal: Goal, parents: list[Parent], options: SearchOptions
) -> list[Key]:
    return [hit.variant.key for hit in search(answerer, goal, parents, {}, options).hits]


if __name__ == "__main__":
    main()
