"""Crystals -> cached graphs. Needs pymatgen and numpy, not torch."""

from functools import partial

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.featurize import Featurizer
from supervision.models.graph.build import TWELVE, Neighbourhood, build_graph
from supervision.models.graph.symmetry_folding import FoldedGraph, fold, unfolded

GRAPH_VERSION = 1
MAX_KINDS = 250_000  # angles that a network reads: 600 MB and 5 s on two cores


def graph_of(crystal: Crystal, neighbourhood: Neighbourhood, *, folded: bool) -> FoldedGraph:
    """The one path from a crystal to its graph, in training and in serving.

    Unfolded, every atom, edge and angle stands by itself. Raises CrystalError with one sentence.
    """
    structure = crystal.structure
    try:
        graph = build_graph(structure, neighbourhood)
        found = fold(graph) if folded else unfolded(graph)
    except ValueError as error:
        raise CrystalError(str(error)) from error
    if len(found.angles) > MAX_KINDS:
        raise CrystalError(
            f"The graph has {len(found.angles):,} different angles, more than {MAX_KINDS:,}."
        )
    return found


def graphs(
    neighbourhood: Neighbourhood = TWELVE, *, folded: bool = True
) -> Featurizer[FoldedGraph]:
    """How graphs of this neighbourhood are made and kept."""
    version = f"v{GRAPH_VERSION}"
    if neighbourhood != TWELVE:
        version += f"-{neighbourhood.nearest}-{neighbourhood.within:g}A"
    if not folded:
        version += "-unfolded"
    build = partial(graph_of, neighbourhood=neighbourhood, folded=folded)
    return Featurizer("graphs", version, build, FoldedGraph.from_arrays)
