"""How fast graphs are built, beside alignn's builder, on the same real crystals.

    python -m benchmarks.graphs --data 3DSC_MP.tar.xz

Processor seconds of one process, the sides by turns, several rounds of them: a machine is not
equally fast at all times. Parsing the CIF is left out on both sides, and so is reading a
cache. alignn knows one element a site, so it is given each site's most abundant one; its graph is
then the same but for the features, the ties that it loses, and the bonds to an atom's own image,
which it has twice.
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
from supervision.data.element_tables import LAST
from supervision.models.graph.build import build_graph, line_graph
from supervision.models.graph.published import main_elements
from supervision.models.graph.symmetry_folding import fold


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="the 3DSC archive or folder")
    parser.add_argument("--structures", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7, help="each side is timed this often")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    structures = choose(load_dataset("3dsc", options.data), options.structures, options.seed)
    theirs = [main_elements(structure) for structure in structures]
    sides: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
        "ours: atom graph and line graph": (_ours, structures),
        "ours, folded by symmetry as well": (_folded, structures),
        "alignn: `Graph.atom_dgl_multigraph`": (_alignn, theirs),
    }
    timed: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            timed[name].append(_seconds(*side))
    report(timed, structures)


def choose(dataset: Dataset, count: int, seed: int) -> list[Structure]:
    """Structures at random, of elements that both builders know."""
    chosen: list[Structure] = []
    for index in np.random.default_rng(seed).permutation(len(dataset.crystals)):
        structure = dataset.crystals[index].structure
        if max(element.Z for element in structure.elements) <= LAST:
            chosen.append(structure)
        if len(chosen) == count:
            return chosen
    raise ValueError(f"The data set has {len(chosen)} such structures, not {count}.")


def report(timed: dict[str, list[float]], structures: Sequence[Structure]) -> None:
    """The table, medians over the rounds, and how large the graphs are."""
    sites = np.mean([len(structure) for structure in structures])
    ours = np.array(next(iter(timed.values())))
    print(f"\n{len(structures)} structures, {sites:.1f} sites on average, {len(ours)} rounds.\n")
    print("| | ms a structure | structures/s a core | times ours | in the rounds |")
    print("|---|---:|---:|---:|---:|")
    for name, seconds in timed.items():
        each, ratios = np.median(seconds) / len(structures), np.array(seconds) / ours
        print(
            f"| {name} | {1e3 * each:.2f} | {1 / each:,.0f} | {np.median(ratios):.1f} "
            f"| {ratios.min():.1f} to {ratios.max():.1f} |"
        )
    whole = [build_graph(structure) for structure in structures]
    folded = [fold(graph) for graph in whole]
    print("\n| on average | atoms | edges | angles |\n|---|---:|---:|---:|")
    sizes = [[len(g.features), len(g.source), len(line_graph(g)[0])] for g in whole]
    print("| whole | " + " | ".join(f"{x:,.1f}" for x in np.mean(sizes, axis=0)) + " |")
    sizes = [[len(g.atoms), len(g.edges), len(g.angles)] for g in folded]
    print("| folded | " + " | ".join(f"{x:,.1f}" for x in np.mean(sizes, axis=0)) + " |")


def _seconds(build: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    build(inputs[0])  # tables are read on first use
    start = time.process_time()
    for item in tqdm(inputs, desc=build.__name__.strip("_"), leave=False):
        build(item)
    return time.process_time() - start


def _ours(structure: Structure) -> Any:
    graph = build_graph(structure)
    return graph, line_graph(graph)


def _folded(structure: Structure) -> Any:
    return fold(build_graph(structure))


def _alignn(atoms: Any) -> Any:
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else dgl writes a file into the home folder
    from alignn.graphs import Graph

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy's, one a structure
        return Graph.atom_dgl_multigraph(atoms, cutoff=8.0, max_neighbors=12)


if __name__ == "__main__":
    main()
