"""What each site of a crystal is worth to a graph model: occlusion, in kelvin.

The features of a site are replaced by those of the average site of the training materials, on all
sites that the network cannot tell from it at once, and the predicted Tc changes (Zeiler and Fergus,
ECCV 2014, on image patches). Positions and bonds stay. A site of positive worth raises Tc: with an
average atom in its place, the prediction is lower by so many kelvin.

The average over the crystal itself would be another reference, but in an element it changes
nothing. The worths of several sites do not add up to the Tc: two sites can need each other.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from supervision.data.crystals import Crystal
from supervision.models.graph.backbone import ATOM_FEATURES
from supervision.models.graph.batch import GraphBatch, collate
from supervision.models.graph.build import build_graph
from supervision.models.graph.featurize import build_crystal_graph
from supervision.models.graph.model import N_COMPOSITION_FEATURES, GraphRegressor
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.graph.symmetry_folding import FoldedGraph, atom_classes

if TYPE_CHECKING:
    from pymatgen.core import PeriodicSite, Structure

FULL = 0.999  # occupancy of a site without vacancies, up to rounding
MAX_ORBITS = 32  # each costs a prediction; in larger cells, all sites of one species are an orbit


class Orbit(NamedTuple):
    """Sites that are occluded at once.

    Attributes:
        species: what is on each, such as ``La0.925Sr0.075``.
        main: its most abundant element.
        number: from 1, of the orbits with this main element, that of the largest worth in magnitude
            first; 0 for the only one.
        sites: their indices in the structure.
        kelvin: their worth.
    """

    species: str
    main: str
    number: int
    sites: list[int]
    kelvin: float

    @property
    def label(self) -> str:
        """Its species, and its number among others such as ``O (O2)``."""
        return f"{self.species} ({self.main}{self.number})" if self.number else self.species


@dataclass(frozen=True, eq=False)
class SiteWorth:
    """The worth of the sites of a structure, in their order.

    Attributes:
        structure: with n sites.
        orbit: of each site, from 0, [n]; sites of one orbit have equal surroundings, or in cells of
            more than ``MAX_ORBITS`` of these, equal species.
        kelvin: the predicted Tc less that with average atoms on the orbit of the site, [n].
        tc_kelvin: the predicted Tc.
    """

    structure: "Structure"
    orbit: np.ndarray
    kelvin: np.ndarray
    tc_kelvin: float

    @property
    def orbits(self) -> list[Orbit]:
        """The orbits, that of the largest worth in magnitude first."""
        members = [np.flatnonzero(self.orbit == o).tolist() for o in range(self.orbit.max() + 1)]
        members.sort(key=lambda sites: -abs(self.kelvin[sites[0]]))
        main = [_by_abundance(self.structure[sites[0]])[0][0].symbol for sites in members]
        return [
            Orbit(
                _species(self.structure[sites[0]]),
                symbol,
                main[: n + 1].count(symbol) if main.count(symbol) > 1 else 0,
                sites,
                float(self.kelvin[sites[0]]),
            )
            for n, (sites, symbol) in enumerate(zip(members, main, strict=True))
        ]


def site_worth(predictor: GraphPredictor, crystal: Crystal) -> SiteWorth:
    """The worth of each site of a crystal.

    Raises CrystalError, naming the crystal, for one that cannot be read.
    """
    neighbourhood, folded = predictor.neighbourhood, predictor.config.backend != "dgl"
    with predictor.reading(crystal) as model, torch.inference_mode():
        structure = crystal.structure
        graph = build_crystal_graph(crystal, neighbourhood, folded=folded)
        classes = atom_classes(build_graph(structure, neighbourhood))  # of the sites, [n]
        rows = np.arange(len(graph.atoms)) if folded else classes  # of the graph's atoms
        orbit = _orbits(graph, rows)
        batch = collate([graph]).to(predictor.device)
        occluded = [_occlude(batch, orbit[rows] == o, model) for o in range(orbit.max() + 1)]
        outputs = torch.cat([model(given) for given in (batch, *occluded)]).cpu().numpy()
    tc, *without = predictor.target.decode(outputs).tolist()
    of_site = orbit[classes]
    return SiteWorth(structure, of_site, tc - np.array(without)[of_site], tc)


def _orbits(graph: FoldedGraph, rows: np.ndarray) -> np.ndarray:
    """The orbit of each class of atoms, which ``rows`` are of: all are, or all of one species."""
    count = rows.max() + 1
    if count <= MAX_ORBITS:
        return np.arange(count)
    first = np.unique(rows, return_index=True)[1]
    species = np.column_stack([graph.features, graph.properties])[first]
    return np.unique(species, axis=0, return_inverse=True)[1].ravel()


def _species(site: "PeriodicSite") -> str:
    """The elements of a site, the most abundant first, with their occupancy unless it is full."""
    return "".join(
        el.symbol if x > FULL else f"{el.symbol}{x:.3g}" for el, x in _by_abundance(site)
    )


def _by_abundance(site: "PeriodicSite") -> list[tuple[Any, float]]:
    """The elements of a site with their occupancies, the most abundant first."""
    return sorted(site.species.items(), key=lambda part: -part[1])


def _occlude(batch: GraphBatch, sites: np.ndarray, model: GraphRegressor) -> GraphBatch:
    """The batch of one graph with average atoms on the sites of a mask ``[n]``."""
    mask = torch.from_numpy(sites).to(batch.features.device)[:, None]
    features, properties = _average_site(model)
    return replace(
        batch,
        features=torch.where(mask, features, batch.features),
        properties=torch.where(mask, properties, batch.properties),
    )


def _average_site(model: GraphRegressor) -> tuple[torch.Tensor, torch.Tensor]:
    """CGCNN features ``[92]`` and properties ``[23]`` of the average site of the training.

    They are the means that the model standardises with (``pool_composition``): of features and
    occupancy per site, and of the other properties per atom. An untrained model has zeros, a
    vacancy.
    """
    mean = model.feature_mean[:N_COMPOSITION_FEATURES]
    features, per_atom, occupancy = mean[:ATOM_FEATURES], mean[ATOM_FEATURES:-1], mean[-1:]
    return features, torch.cat([per_atom * occupancy, occupancy])
