"""A crystal structure as the few arrays that its pictures are drawn from.

A scene is the chemistry of a picture (where atoms sit, how large and of what colour they are, what
is bonded to what) with none of its geometry on the page. It is found once a structure, kept as a
few kilobytes of arrays, and drawn from any direction by ``supervision.models.vision.render``.

    scene = build_scene(structure)
    np.savez("scene.npz", **scene.to_arrays())

Numbers are rounded to a fixed grid, sites put in a fixed order and the lattice in a fixed
orientation, so the same crystal gives the same scene, bit for bit, whatever the order of its sites,
the origin of each (x or x + 1), the way the axes stood in space, or the machine.
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

if TYPE_CHECKING:  # a cached scene is read and drawn where pymatgen is not installed
    from pymatgen.core import PeriodicSite, Structure

SCENE_VERSION = 1

BONDINGS = ("fast", "crystalnn", "none")

GRID = 1e-4  # step of every number: angstrom, fractional coordinate, occupancy, channel
FACE = 1e-3  # a fractional coordinate this close to 0 or 1 lies on the cell's face

BOND_REACH = 1.14  # a bond is at most this many times an end's shortest bond
SPLIT_SITE = 0.6  # sites closer than this share of their radii's sum exclude one another
MAX_BONDS = 20_000  # of a cell; a close-packed one of 1,000 atoms has 6,000
FIRST_CUTOFF = 5.0  # angstrom


@dataclass(frozen=True, eq=False)
class Scene:
    """One structure, ready to draw.

    Attributes:
        lattice: [3, 3] rows a, b, c in angstrom; a along x, b in the xy plane.
        frac: [n, 3] fractional coordinates, in [-0.001, 0.999).
        radius: [n] atomic radius of a site in angstrom, the mean over the atoms on it.
        channels: [n, 3] red, green, blue of a site, 0 to 255: sum of occupancy times the element's
            channel, not normalised, so a vacancy is dark.
        bonds: [m, 2] the two sites of each bond; each bond of the infinite crystal once a cell.
        images: [m, 3] lattice translation of the second site.
        key: sha256 of the crystal (lattice, sites, species, occupancies) on the grid.
    """

    lattice: np.ndarray
    frac: np.ndarray
    radius: np.ndarray
    channels: np.ndarray
    bonds: np.ndarray
    images: np.ndarray
    key: str

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for ``np.savez``; ``from_arrays`` takes them back without pickles."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Scene":
        """The scene that ``to_arrays`` came from. Raises KeyError where an array is missing."""
        key = str(arrays["key"])
        return cls(key=key, **{f.name: arrays[f.name] for f in fields(cls) if f.name != "key"})


def build_scene(structure: "Structure", *, bonding: str = "fast") -> Scene:
    """The scene of a structure, ordered or not.

    Args:
        structure: any periodic structure; partial occupancies and vacancies are kept.
        bonding: ``fast`` (a distance rule), ``crystalnn`` (pymatgen's CrystalNN, slow; each
            disordered site judged by its most abundant species) or ``none``.

    Raises ValueError for an unknown ``bonding``, an element beyond Pu, a cell without volume, or
    a coordinate that is no number.
    """
    if bonding not in BONDINGS:
        raise ValueError(f"bonding '{bonding}' is not one of {', '.join(BONDINGS)}.")
    check_geometry(structure)
    lattice = _to_grid(_upright(structure.lattice.matrix))
    grid = _to_grid(structure.frac_coords)
    cell = np.floor_divide(grid + round(FACE / GRID), round(1 / GRID))  # [n, 3] which cell
    grid -= cell * round(1 / GRID)
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
        lattice=lattice * GRID,
        frac=grid[order] * GRID,
        radius=_to_grid(radii[order]) * GRID,
        channels=_to_grid(colours[order]) * GRID,
        bonds=bonds,
        images=images,
        key=_digest(lattice, grid[order], text),
    )


def _to_grid(values: np.ndarray) -> np.ndarray:
    """Values in whole steps of GRID; the nudge keeps exact halves from falling either way."""
    return np.floor(np.asarray(values) / GRID + 0.501).astype(np.int64)


def _upright(matrix: np.ndarray) -> np.ndarray:
    """The lattice turned so that a lies along x and b in the xy plane; handedness is kept."""
    lower = np.linalg.cholesky(matrix @ matrix.T)
    lower[2, 2] *= np.sign(np.linalg.det(matrix))
    return lower


def _symbols(site: "PeriodicSite") -> list[tuple[str, float]]:
    """Element names and occupancies of a site; pymatgen's symbol of deuterium is H, its name D."""
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
    """Bonds [m, 2] and images [m, 3], in the structure's own order and cells, both ways round."""
    if bonding == "fast":
        return _fast_bonds(structure, radii)
    if bonding == "crystalnn":
        return _crystalnn_bonds(structure)
    return np.empty((0, 2), dtype=np.int64), np.empty((0, 3), dtype=np.int64)


def _fast_bonds(structure: "Structure", radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs no longer than BOND_REACH times the shortest pair of either end.

    Taking either end keeps the bonds of a large cation whose small neighbours are bonded more
    tightly to something else. Sites too close to be occupied at once are not bonded.
    """
    cutoff = FIRST_CUTOFF
    while True:
        first, second, images, distance = neighbours(structure, cutoff)
        real = distance > SPLIT_SITE * (radii[first] + radii[second])
        first, second, images, distance = (x[real] for x in (first, second, images, distance))
        shortest = np.full(len(structure), np.inf)
        np.minimum.at(shortest, first, distance)
        if shortest.max() * BOND_REACH <= cutoff:
            break
        cutoff *= 2.0
    bonded = distance <= BOND_REACH * np.maximum(shortest[first], shortest[second])
    bonds = np.stack([first, second], axis=1)[bonded].astype(np.int64)
    return bonds, images[bonded].astype(np.int64)


def _crystalnn_bonds(structure: "Structure") -> tuple[np.ndarray, np.ndarray]:
    """CrystalNN on the most abundant species of each site; a bond counts if either end sees it."""
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
    except RuntimeError as error:  # a Voronoi cell that does not close
        raise ValueError(f"CrystalNN finds no bonds in it: {one_line(error)}.") from error
    rows = [
        (i, near["site_index"], *near["image"]) for i, nears in enumerate(found) for near in nears
    ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return table[:, :2], table[:, 2:]


def _canonical_bonds(bonds: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each bond once, in sorted order, from the lower site (or towards the positive image)."""
    forward = np.column_stack([bonds, images])
    backward = np.column_stack([bonds[:, ::-1], -images])
    both = np.unique(np.concatenate([forward, backward]), axis=0)
    first, second = both[:, 0], both[:, 1]
    sign = _first_nonzero(both[:, 2:])
    kept = both[(first < second) | ((first == second) & (sign > 0))]
    return np.ascontiguousarray(kept[:, :2]), np.ascontiguousarray(kept[:, 2:])


def _first_nonzero(images: np.ndarray) -> np.ndarray:
    """[m] the first component that is not zero of each row."""
    column = (images != 0).argmax(axis=1)
    return images[np.arange(len(images)), column]
