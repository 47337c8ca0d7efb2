"""The materials that a model has learned from: the distance to them, and the nearest ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from supervision.answer.domain import DOMAINS, domains
from supervision.data.composition_distance import (
    ELEMENTS,
    distances_to,
    fraction_matrix,
    from_sparse,
    to_sparse,
)
from supervision.data.crystals import Material
from supervision.data.formulas import readable_formula
from supervision.data.splits import APART

KNOWN_FILE = "known.safetensors"
NEAREST = 3
FAMILY_SHOWN = 200
SAME = 1e-4  # distance of compositions that are equal up to rounding
FRACTION_DECIMALS = 4  # to which equal compositions agree


class Neighbour(NamedTuple):
    """A known material near to a crystal: its measured Tc, 0 if none was reported, in kelvin.

    Of a model of another quantity it is the known value of that one.
    """

    formula: str
    tc_kelvin: float
    distance: float


class Surroundings(NamedTuple):
    """What is known around a crystal.

    Attributes:
        domain: an index of ``DOMAINS``.
        nearest: the measured materials that are nearest, the nearest first.
    """

    domain: int
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True, eq=False)
class KnownMaterials:
    """Materials with their Tc.

    Attributes:
        formulas: [n].
        tc: in kelvin, [n].
        is_computed: whether the Tc is computed, [n]; such materials are never neighbours.
        fractions: atomic fractions by atomic number, ``[n, 118]`` in single precision.
    """

    formulas: Sequence[str]
    tc: np.ndarray
    is_computed: np.ndarray
    fractions: np.ndarray

    @classmethod
    def of(cls, materials: Sequence[Material]) -> "KnownMaterials":
        """From the materials that a model has learned from."""
        formulas = [m.formula for m in materials]
        return cls(
            formulas,
            np.array([m.tc for m in materials]),
            np.array([m.is_computed for m in materials], dtype=bool),
            fraction_matrix(formulas).astype(np.float32),
        )

    @classmethod
    def union(cls, parts: Sequence["KnownMaterials"]) -> "KnownMaterials":
        """The materials of several models; one of each composition, a measured one if there is."""
        formulas = [formula for part in parts for formula in part.formulas]
        tc, is_computed, fractions = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("tc", "is_computed", "fractions")
        )
        order = np.argsort(is_computed, kind="stable")
        _, first = np.unique(fractions[order].round(FRACTION_DECIMALS), axis=0, return_index=True)
        chosen = np.sort(order[first])
        kept = [formulas[i] for i in chosen]
        return cls(kept, tc[chosen], is_computed[chosen], fractions[chosen])

    def superconductors(self) -> "KnownMaterials":
        """The materials with a measured Tc."""
        rows = np.flatnonzero((self.tc > 0) & ~self.is_computed)
        kept = [self.formulas[i] for i in rows.tolist()]
        return KnownMaterials(kept, self.tc[rows], self.is_computed[rows], self.fractions[rows])

    def distance(self, fractions: np.ndarray) -> np.ndarray:
        """The distance of each composition ``[n, 118]`` to the nearest material, [n]."""
        return np.array([self.distances(row).min() for row in fractions])

    def domain(self, fractions: np.ndarray) -> np.ndarray:
        """The domain of each composition ``[n, 118]``, as an index of ``DOMAINS``, [n]."""
        return self._domain(fractions, self.distance(fractions))

    def domain_names(self, fractions: np.ndarray) -> list[str]:
        """The domain of each composition ``[n, 118]`` by name."""
        return [DOMAINS[index] for index in self.domain(fractions)]

    @cached_property
    def elements(self) -> np.ndarray:
        """Which elements occur, ``[118]``."""
        return np.asarray(np.any(self.fractions > 0, axis=0))

    def has_element_set(self, fractions: np.ndarray) -> bool:
        """Whether a material has all elements of a composition ``[118]``, and no others."""
        return np.packbits(fractions > 0).tobytes() in self._element_sets

    @cached_property
    def _element_sets(self) -> frozenset[bytes]:
        return frozenset(row.tobytes() for row in np.packbits(self.fractions > 0, axis=1))

    def surroundings(self, fractions: np.ndarray) -> Surroundings:
        """The domain of a composition ``[118]`` and its neighbours, by one search."""
        distance = self.distances(fractions)
        (domain,) = self._domain(fractions[None], distance.min(keepdims=True))
        return Surroundings(int(domain), tuple(self._nearest(self._if_measured(distance))))

    def nearest(self, fractions: np.ndarray) -> list[Neighbour]:
        """The measured materials nearest to a composition ``[118]``, the nearest first."""
        return self._nearest(self._if_measured(self.distances(fractions)))

    def family(self, fractions: np.ndarray) -> list[Neighbour]:
        """The measured materials of the family of a composition ``[118]``, the nearest first.

        They have the same elements, or are within the distance at which families end; at most
        FAMILY_SHOWN.
        """
        distance = self._if_measured(self.distances(fractions))
        same = (self.fractions > 0) == (fractions > 0)
        in_family = (distance <= APART) | (np.isfinite(distance) & same.all(axis=1))
        return self._neighbours(distance, in_family, FAMILY_SHOWN)

    def _domain(self, fractions: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """The domains of compositions ``[n, 118]`` at these distances [n], [n]."""
        return domains(distance, np.any(fractions[:, ~self.elements] > 0, axis=1))

    def _if_measured(self, distance: np.ndarray) -> np.ndarray:
        """The distances [n] to all materials, infinite to those computed."""
        return np.where(self.is_computed, np.inf, distance)

    def _nearest(self, distance: np.ndarray) -> list[Neighbour]:
        return self._neighbours(distance, np.isfinite(distance), NEAREST)

    def _neighbours(self, distance: np.ndarray, chosen: np.ndarray, count: int) -> list[Neighbour]:
        """Up to ``count`` of the chosen materials, the nearest first."""
        rows = np.flatnonzero(chosen)
        if len(rows) > count:  # to sort the few that are near takes a fifth of the time
            farthest = np.partition(distance[rows], count - 1)[count - 1]
            rows = rows[distance[rows] <= farthest]
        return [
            Neighbour(readable_formula(self.formulas[i]), float(self.tc[i]), float(distance[i]))
            for i in rows[np.argsort(distance[rows], kind="stable")][:count]
        ]

    def distances(self, fractions: np.ndarray) -> np.ndarray:
        """Of a composition ``[118]`` to every material, [n]."""
        return distances_to(self.fractions, fractions.astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write the file that ``load`` reads."""
        text = json.dumps(list(self.formulas)).encode()
        arrays = {
            "formulas": np.frombuffer(text, dtype=np.uint8),
            "tc": self.tc,
            "is_computed": self.is_computed,
        }
        save_file(arrays | to_sparse(self.fractions), folder / KNOWN_FILE)

    @classmethod
    def load(cls, folder: Path) -> "KnownMaterials":
        """What ``save`` wrote; it gives the same numbers."""
        arrays = load_file(folder / KNOWN_FILE)
        formulas = json.loads(arrays["formulas"].tobytes())
        fractions = from_sparse(arrays, ELEMENTS)
        return cls(formulas, arrays["tc"], arrays["is_computed"], fractions)
