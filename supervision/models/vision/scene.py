"""A crystal structure as the arrays that its images are drawn from.

A scene holds the positions, sizes and colours of the atoms, and the bonds, independent of the view.
It is built once per structure, cached as a few kilobytes of arrays, and drawn from any direction by
``supervision.models.vision.render``.

    scene = build_scene(structure)
    np.savez("scene.npz", **scene.to_arrays())

Numbers are rounded to a fixed grid, sites are sorted and the lattice has a standard orientation. So
the same crystal gives the same scene, bit for bit, on any machine and for any order of the sites,
any lattice translation of a site (x or x + 1), and any orientation of the axes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from supervision.data.cell_checks import check_geometry
from supervision.data.elements import channels, element
from supervision.data.neighbours import neighbours
from supervision.runtime.errors import one_line

if TYPE_CHECKING:  # cached scenes are drawn without pymatgen
    from pymatgen.core import PeriodicSite, Structure

SCENE_VERSION = 1

BONDINGS = ("fast", "crystalnn", "none")

GRID_STEP = 1e-4  # rounding of angstrom, fractional coordinates, occupancies and channels
FACE_TOLERANCE = 1e-3  # fractional coordinates this close to 0 or 1 lie on a face of the cell

MAX_BOND_LENGTH_RATIO = 1.14  # length of a bond over the shortest bond of one of its sites
MIN_SITE_DISTANCE_RATIO = 0.6  # distance over sum of radii; closer sites are alternatives
MAX_BONDS = 20_000  # per cell; 1,000 close-packed atoms have 6,000
INITIAL_CUTOFF_ANGSTROM = 5.0


@dataclass(frozen=True, eq=False)
class Scene:
    """The view-independent content of a crystal's images.

    Attributes:
        lattice: [3, 3] rows a, b, c in angstrom; a along x, b in the xy plane.
        frac: [n, 3] fractional coordinates, in [-0.001, 0.999).
        radius: [n] atomic radius in angstrom, averaged over the species of a site.
        channels: [n, 3] red, green, blue of a site, 0 to 255: the sum of occupancy times the
            element's channel. It is not normalised, so vacancies are dark.
        bonds: [m, 2] the two sites of each bond; each bond of the crystal once per unit cell.
        images: [m, 3] lattice translation of the second site.
        key: sha256 of lattice, sites, species and occupancies after rounding.
    """

    lattice: np.ndarray
    frac: np.ndarray
    radius: np.ndarray
    channels: np.ndarray
    bonds: np.ndarray
    images: np.ndarray
    key: str

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, for ``np.savez``."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Scene":
        """The inverse of ``to_arrays``. Raises KeyError if an array is missing."""
        key = str(arrays["key"])
        return cls(key=key, **{f.name: arrays[f.name] for f in fields(cls) if f.name != "key"})


def build_scene(structure: "Structure", *, bonding: str = "fast") -> Scene:
    """The scene of an ordered or disordered structure.

    Args:
        structure: a periodic structure; partial occupancies and vacancies are kept.
        bonding: ``fast`` (a distance criterion), ``crystalnn`` (pymatgen's CrystalNN, slow, on
            the most abundant species of each site) or ``none``.

    Raises ValueError for an unknown ``bonding``, an element beyond Pu, an invalid cell or
    coordinate (``check_geometry``), or more than MAX_BONDS bonds.
    """
    if bonding not in BONDINGS:
        raise ValueError(f"bonding '{bonding}' is not one of {', '.join(BONDINGS)}.")
    check_geometry(structure)
    lattice = _to_grid(_standard_orientation(structure.lattice.matrix))
    grid = _to_grid(structure.frac_coords)
    # [n, 3] the unit cell that each site lies in
    cell = np.floor_divide(grid + round(FACE_TOLERANCE / GRID_STEP), round(1 / GRID_STEP))
    grid -= cell * round(1 / GRID_STEP)
    species = [_species_text(site) for site in structure]
    order = sorted(range(len(species)), key=lambda i: (*grid[i], species[i]))
    colours = np.array([_site_channels(site) for site in structure])
    radii = np.array([_site_radius(site) for site in structure])

    bonds, images = _find_bonds(structure, radii, bonding)
    images += cell[bonds[:, 1]] - cell[bonds[:, 0]]
    bonds, images = _canonical_bonds(np.argsort(order)[bonds], images)
    if len(bonds) > MAX_BONDS:
        raise ValueError(f"The cell has {len(bonds):,} bonds, more than {MAX_BONDS:,}.")
    text = "\n".join(species[i] for i in order)
    return Scene(
        lattice=lattice * GRID_STEP,
        frac=grid[order] * GRID_STEP,
        radius=_to_grid(radii[order]) * GRID_STEP,
        channels=_to_grid(colours[order]) * GRID_STEP,
        bonds=bonds,
        images=images,
        key=_digest(lattice, grid[order], text),
    )


def structure_sites(scene: Scene, structure: "Structure") -> np.ndarray:
    """The index in its structure of each site of a scene, which sorts them, [n]."""
    offset = structure.frac_coords[None] - scene.frac[:, None]
    offset -= np.round(offset)
    return np.asarray((offset**2).sum(axis=2).argmin(axis=1))


def _to_grid(values: np.ndarray) -> np.ndarray:
    """Values in units of GRID_STEP, as integers.

    The offset 0.501 instead of 0.5 makes exact halves round up in spite of floating-point noise.
    """
    return np.floor(np.asarray(values) / GRID_STEP + 0.501).astype(np.int64)


def _standard_orientation(matrix: np.ndarray) -> np.ndarray:
    """The lattice rotated so that a lies along x and b in the xy plane; handedness is kept."""
    lower = np.linalg.cholesky(matrix @ matrix.T)
    lower[2, 2] *= np.sign(np.linalg.det(matrix))
    return lower


def _symbols(site: "PeriodicSite") -> list[tuple[str, float]]:
    """Element names and occupancies of a site. The name of deuterium is D, its symbol is H."""
    atoms = [(getattr(species, "element", species), x) for species, x in site.species.items()]
    return [(getattr(atom, "name", atom.symbol), float(x)) for atom, x in atoms]


def _species_text(site: "PeriodicSite") -> str:
    parts = sorted((name, int(_to_grid(np.array(x)))) for name, x in _symbols(site))
    return " ".join(f"{name}:{occupancy}" for name, occupancy in parts)


def _site_channels(site: "PeriodicSite") -> np.ndarray:
    return np.sum([x * np.array(channels(name)) for name, x in _symbols(site)], axis=0)


def _site_radius(site: "PeriodicSite") -> float:
    weights = [x for _, x in _symbols(site)]
    return float(np.average([element(name).radius for name, _ in _symbols(site)], weights=weights))


def _digest(lattice: np.ndarray, grid: np.ndarray, species: str) -> str:
    digest = hashlib.sha256(species.encode())
    for array in (lattice, grid):
        digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()


def _find_bonds(
    structure: "Structure", radii: np.ndarray, bonding: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bonds [m, 2] and images [m, 3] in the order and cells of the structure, each in either or
    both directions."""
    if bonding == "fast":
        return _fast_bonds(structure, radii)
    if bonding == "crystalnn":
        return _crystalnn_bonds(structure)
    return np.empty((0, 2), dtype=np.int64), np.empty((0, 3), dtype=np.int64)


def _fast_bonds(structure: "Structure", radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs within MAX_BOND_LENGTH_RATIO times the shortest bond of either site.

    Accepting either site keeps the bonds of a large cation to small neighbours that have shorter
    bonds to other atoms. Sites too close to be occupied at the same time are not bonded.
    """
    cutoff = INITIAL_CUTOFF_ANGSTROM
    while True:
        first, second, images, distance = neighbours(structure, cutoff)
        compatible = distance > MIN_SITE_DISTANCE_RATIO * (radii[first] + radii[second])
        first, second, images, distance = (x[compatible] for x in (first, second, images, distance))
        shortest = np.full(len(structure), np.inf)
        np.minimum.at(shortest, first, distance)
        if shortest.max() * MAX_BOND_LENGTH_RATIO <= cutoff:
            break
        cutoff *= 2.0
    bonded = distance <= MAX_BOND_LENGTH_RATIO * np.maximum(shortest[first], shortest[second])
    bonds = np.stack([first, second], axis=1)[bonded].astype(np.int64)
    return bonds, images[bonded].astype(np.int64)


def _crystalnn_bonds(structure: "Structure") -> tuple[np.ndarray, np.ndarray]:
    """Bonds from CrystalNN on the most abundant species of each site, found from either site."""
    from pymatgen.analysis.local_env import CrystalNN
    from pymatgen.core import Structure

    ordered = Structure(
        structure.lattice,
        [max(_symbols(site), key=lambda part: part[1])[0] for site in structure],
        structure.frac_coords,
    )
    finder = CrystalNN()
    try:
        found = finder.get_all_nn_info(ordered)
    except RuntimeError as error:  # an open Voronoi cell
        raise ValueError(f"CrystalNN fails on this structure: {one_line(error)}.") from error
    rows = [
        (i, neighbour["site_index"], *neighbour["image"])
        for i, site_neighbours in enumerate(found)
        for neighbour in site_neighbours
    ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return table[:, :2], table[:, 2:]


def _canonical_bonds(bonds: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each bond once, sorted, from the lower site index or in the positive image direction."""
    forward = np.column_stack([bonds, images])
    backward = np.column_stack([bonds[:, ::-1], -images])
    both = np.unique(np.concatenate([forward, backward]), axis=0)
    first, second = both[:, 0], both[:, 1]
    sign = _first_nonzero(both[:, 2:])
    kept = both[(first < second) | ((first == second) & (sign > 0))]
    return np.ascontiguousarray(kept[:, :2]), np.ascontiguousarray(kept[:, 2:])


def _first_nonzero(images: np.ndarray) -> np.ndarray:
    """[m] the first nonzero component of each row."""
    column = (images != 0).argmax(axis=1)
    return images[np.arange(len(images)), column]
