"""Speed of graph construction, compared with alignn's builder on the same real crystals.

    python -m benchmarks.graphs --data 3DSC_MP.tar.xz

Measures processor seconds of one process. The methods alternate over several rounds, because the
speed of a machine varies. Parsing CIF files and reading the cache are excluded. alignn supports one
element per site and gets the most abundant one. Its graph then differs in the features, lacks some
neighbours at equal distance, and has bonds to an atom's own image twice.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure
from tqdm.auto import tqdm

from supervision.data.datasets import Dataset, load_dataset
from supervision.data.element_tables import MAX_ATOMIC_NUMBER
from supervision.models.graph.build import build_graph, line_graph
from supervision.models.graph.published import to_jarvis_atoms
from supervision.models.graph.symmetry_folding import fold_graph


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--structures", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7, help="number of timed rounds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    structures = choose(load_dataset("3dsc", options.data), options.structures, options.seed)
    jarvis_atoms = [to_jarvis_atoms(structure) for structure in structures]
    methods: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
        "this project: atom graph and line graph": (_build, structures),
        "this project, with symmetry folding": (_build_folded, structures),
        "alignn: `Graph.atom_dgl_multigraph`": (_build_alignn, jarvis_atoms),
    }
    timed: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(options.rounds):
        for name, method in methods.items():
            timed[name].append(_seconds(*method))
    report(timed, structures)


def choose(dataset: Dataset, count: int, seed: int) -> list[Structure]:
    """Random structures whose elements both builders support.

    Raises ValueError if there are fewer than ``count``.
    """
    chosen: list[Structure] = []
    for index in np.random.default_rng(seed).permutation(len(dataset.crystals)):
        structure = dataset.crystals[index].structure
        if max(element.Z for element in structure.elements) <= MAX_ATOMIC_NUMBER:
            chosen.append(structure)
        if len(chosen) == count:
            return chosen
    raise ValueError(f"The data set has only {len(chosen)} suitable structures, not {count}.")


def report(timed: dict[str, list[float]], structures: Sequence[Structure]) -> None:
    """Print a table of times (medians over the rounds) and of graph sizes."""
    sites = np.mean([len(structure) for structure in structures])
    ours = np.array(next(iter(timed.values())))
    print(f"\n{len(structures)} structures, {sites:.1f} sites on average, {len(ours)} rounds.\n")
    print("| | ms per structure | structures/s per core | relative to ours | range over rounds |")
    print("|---|---:|---:|---:|---:|")
    for name, seconds in timed.items():
        each, ratios = np.median(seconds) / len(structures), np.array(seconds) / ours
        print(
            f"| {name} | {1e3 * each:.2f} | {1 / each:,.0f} | {np.median(ratios):.1f} "
            f"| {ratios.min():.1f} to {ratios.max():.1f} |"
        )
    unfolded = [build_graph(structure) for structure in structures]
    folded = [fold_graph(graph) for graph in unfolded]
    print("\n| on average | atoms | edges | angles |\n|---|---:|---:|---:|")
    sizes = [[len(g.features), len(g.source), len(line_graph(g)[0])] for g in unfolded]
    print("| unfolded | " + " | ".join(f"{x:,.1f}" for x in np.mean(sizes, axis=0)) + " |")
    sizes = [[len(g.atoms), len(g.edges), len(g.angles)] for g in folded]
    print("| folded | " + " | ".join(f"{x:,.1f}" for x in np.mean(sizes, axis=0)) + " |")


def _seconds(build: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    build(inputs[0])  # tables are read on first use
    start = time.process_time()
    for item in tqdm(inputs, desc=build.__name__.strip("_"), leave=False):
        build(item)
    return time.process_time() - start


def _build(structure: Structure) -> Any:
    graph = build_graph(structure)
    return graph, line_graph(graph)


def _build_folded(structure: Structure) -> Any:
    return fold_graph(build_graph(structure))


def _build_alignn(atoms: Any) -> Any:
    # Otherwise DGL writes a configuration file into the home folder.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    from alignn.graphs import Graph

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning of numpy for each structure
        return Graph.atom_dgl_multigraph(atoms, cutoff=8.0, max_neighbors=12)


if __name__ == "__main__":
    main()
