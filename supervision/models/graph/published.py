"""A model that others published, as they meant it: alignn's class, alignn's graphs, its own answer.

Nothing of it is trained here. alignn's builder knows one element a site and gets each site's most
abundant one; the occupancy-weighted features of all of a site's species are then put in the place
of that element's, so that disordered crystals are read as such and ordered ones as ever.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from supervision.data.crystals import Crystal
from supervision.data.errors import crystal_errors
from supervision.models.graph.backbone import create_backbone, load_pretrained
from supervision.models.graph.build import site_features
from supervision.models.weights import Fetched, GraphWeights, WeightsError

if TYPE_CHECKING:
    from pymatgen.core import Structure


class PublishedModel:
    """Published weights under their whole class, their head included."""

    def __init__(self, fetched: Fetched) -> None:
        if not isinstance(fetched.row, GraphWeights) or not fetched.pretrained:
            raise WeightsError(f"{fetched.name} is not a published graph model.")
        self.row, self.config = fetched.row, fetched.config
        self.net = create_backbone(self.row.architecture, "dgl", self.config).eval()
        load_pretrained(self.net, fetched)
        self.size: Mapping[str, int] = {"parameters": sum(p.numel() for p in self.net.parameters())}

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """What the model says of each crystal, ``[n]``, in its own unit.

        Raises CrystalError, naming the crystal, for one that it cannot read.
        """
        return np.array(
            [self._answer(crystal) for crystal in tqdm(crystals, desc=self.row.name, leave=False)]
        )

    def _answer(self, crystal: Crystal) -> float:
        with crystal_errors(crystal.id), torch.inference_mode():
            structure = crystal.structure
            graph, lines = alignn_graphs(structure, self.row, self.config)
            lattice = torch.tensor(structure.lattice.matrix, dtype=torch.float32)
            answer = self.net([graph, lines, lattice])
        # an atomwise class answers with more, stresses for one: memory that was never filled
        return float(answer["out"] if isinstance(answer, Mapping) else answer)


def alignn_graphs(
    structure: "Structure", row: GraphWeights, config: Mapping[str, Any]
) -> tuple[Any, Any]:
    """alignn's own atom graph and line graph, by the recipe that the weights learned from.

    ``config`` is what was published with them and says more than the row does.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else dgl writes a file into the home folder
    from alignn.graphs import Graph

    strategy = {"k-nearest": "k-nearest", "radius": "radius_graph"}[row.rule]
    features, _ = site_features(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy's, one a structure
        graph, lines = Graph.atom_dgl_multigraph(
            main_elements(structure),
            neighbor_strategy=config.get("neighbor_strategy", strategy),
            cutoff=config.get("cutoff", row.cutoff),
            max_neighbors=config.get("max_neighbors", 12),
            use_canonize=config.get("use_canonize", row.canonize),
            three_body_cutoff=config.get("three_body_cutoff", 3.5),
        )
    graph.ndata["atom_features"] = torch.from_numpy(features)
    return graph, lines


def main_elements(structure: "Structure") -> Any:
    """jarvis's Atoms of it, each site the most abundant of its elements."""
    from jarvis.core.atoms import Atoms

    symbols = [max(site.species.items(), key=lambda part: part[1])[0].symbol for site in structure]
    return Atoms(
        lattice_mat=structure.lattice.matrix, elements=symbols, coords=structure.frac_coords
    )
