"""Crystals -> cached graphs. Needs pymatgen and numpy, not torch."""

from collections.abc import Callable

from supervision.crystals import Crystal, CrystalError
from supervision.graph.build import CrystalGraph, build_graph
from supervision.graph.orbits import FoldedGraph, fold, unfolded
from supervision.prepared import Recipe

GRAPH_VERSION = 1


def folded_graph_of(crystal: Crystal) -> FoldedGraph:
    """The one path from a crystal to its graph, in training and in serving.

    Raises CrystalError with one sentence.
    """
    return _graph_of(crystal, fold)


def unfolded_graph_of(crystal: Crystal) -> FoldedGraph:
    """The same, every atom, edge and angle by itself."""
    return _graph_of(crystal, unfolded)


def _graph_of(crystal: Crystal, form: Callable[[CrystalGraph], FoldedGraph]) -> FoldedGraph:
    structure = crystal.structure
    try:
        return form(build_graph(structure))
    except ValueError as error:
        raise CrystalError(str(error)) from error


FOLDED = Recipe("graphs", f"v{GRAPH_VERSION}", folded_graph_of, FoldedGraph.from_arrays)
UNFOLDED = Recipe(
    "graphs", f"v{GRAPH_VERSION}-unfolded", unfolded_graph_of, FoldedGraph.from_arrays
)
