"""Published graph models as their authors use them: alignn's class, alignn's graphs, its output.

alignn's graph builder supports one element per site and gets the most abundant one. Its node
features are then replaced by the occupancy-weighted features of all species of the site. So the
model reads disordered crystals as such, and ordered crystals as before.
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

ALIGNN_STRATEGIES = {"k-nearest": "k-nearest", "radius": "radius_graph"}  # names in alignn


class PublishedModel:
    """A published model with its own head; it is not trained further.

    Raises WeightsError for random weights and weights of another model family.
    """

    def __init__(self, fetched: Fetched) -> None:
        if not isinstance(fetched.entry, GraphWeights) or not fetched.pretrained:
            raise WeightsError(f"{fetched.name} is not a published graph model.")
        self.entry, self.config = fetched.entry, fetched.config
        self.net = create_backbone(self.entry.architecture, "dgl", self.config).eval()
        load_pretrained(self.net, fetched)
        self.size: Mapping[str, int] = {"parameters": sum(p.numel() for p in self.net.parameters())}

    def predict(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """The prediction for each crystal, ``[n]``, in the unit of the model.

        Raises CrystalError, naming the crystal, for one that the model cannot read.
        """
        bar = tqdm(crystals, desc=self.entry.name, leave=False)
        return np.array([self._predict_one(crystal) for crystal in bar])

    def _predict_one(self, crystal: Crystal) -> float:
        with crystal_errors(crystal.id), torch.inference_mode():
            structure = crystal.structure
            graph, lines = build_alignn_graphs(structure, self.entry, self.config)
            lattice = torch.tensor(structure.lattice.matrix, dtype=torch.float32)
            output = self.net([graph, lines, lattice])
        # ALIGNNAtomWise returns a dict; its other values (stresses) are uninitialised memory.
        return float(output["out"] if isinstance(output, Mapping) else output)


def build_alignn_graphs(
    structure: "Structure", entry: GraphWeights, config: Mapping[str, Any]
) -> tuple[Any, Any]:
    """alignn's atom graph and line graph, with the options that the weights were trained with.

    The options are those of ``config``, which is published with the weights, or else of ``entry``.
    """
    # Otherwise DGL writes a configuration file into the home folder.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    from alignn.graphs import Graph

    strategy = ALIGNN_STRATEGIES[entry.neighbour_strategy]
    features, _ = site_features(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning of numpy for each structure
        graph, lines = Graph.atom_dgl_multigraph(
            to_jarvis_atoms(structure),
            neighbor_strategy=config.get("neighbor_strategy", strategy),
            cutoff=config.get("cutoff", entry.cutoff),
            max_neighbors=config.get("max_neighbors", 12),
            use_canonize=config.get("use_canonize", entry.canonize),
            three_body_cutoff=config.get("three_body_cutoff", 3.5),
        )
    graph.ndata["atom_features"] = torch.from_numpy(features)
    return graph, lines


def to_jarvis_atoms(structure: "Structure") -> Any:
    """The structure as jarvis's Atoms, with the most abundant element of each site."""
    from jarvis.core.atoms import Atoms

    symbols = [max(site.species.items(), key=lambda part: part[1])[0].symbol for site in structure]
    return Atoms(
        lattice_mat=structure.lattice.matrix, elements=symbols, coords=structure.frac_coords
    )
