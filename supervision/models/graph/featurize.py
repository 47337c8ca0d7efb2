"""Crystals -> cached graphs. Needs pymatgen and numpy, not torch."""

from functools import partial

from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.data.featurize import Featurizer
from supervision.models.graph.build import DEFAULT_NEIGHBOURHOOD, Neighbourhood, build_graph
from supervision.models.graph.symmetry_folding import FoldedGraph, fold_graph, unfolded_graph

GRAPH_VERSION = 1
MAX_DISTINCT_ANGLES = 250_000  # 600 MB and 5 s in a network on two cores


def build_crystal_graph(
    crystal: Crystal, neighbourhood: Neighbourhood, *, folded: bool
) -> FoldedGraph:
    """The graph of a crystal, in training and in serving, folded by symmetry if ``folded``.

    Raises CrystalError with one sentence.
    """
    structure = crystal.structure
    try:
        atom_graph = build_graph(structure, neighbourhood)
        graph = fold_graph(atom_graph) if folded else unfolded_graph(atom_graph)
    except ValueError as error:
        raise CrystalError(str(error)) from error
    if len(graph.angles) > MAX_DISTINCT_ANGLES:
        raise CrystalError(
            f"The graph has {len(graph.angles):,} different angles, more than "
            f"{MAX_DISTINCT_ANGLES:,}."
        )
    return graph


def graph_featurizer(
    neighbourhood: Neighbourhood = DEFAULT_NEIGHBOURHOOD, *, folded: bool = True
) -> Featurizer[FoldedGraph]:
    """The featurizer that builds graphs with this neighbourhood."""
    version = f"v{GRAPH_VERSION}"
    if neighbourhood != DEFAULT_NEIGHBOURHOOD:
        version += f"-{neighbourhood.nearest}-{neighbourhood.within:g}A"
    if not folded:
        version += "-unfolded"
    build = partial(build_crystal_graph, neighbourhood=neighbourhood, folded=folded)
    return Featurizer("graphs", version, build, FoldedGraph.from_arrays)
