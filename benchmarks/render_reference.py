"""Reference implementation of the images, which the renderer is compared with.

A pymatgen supercell drawn with OpenCV, far objects first, with bonds from CrystalNN. CrystalNN does
not support disorder, so each site is its most abundant species.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Structure

from supervision.data.elements import channels, element

SIZE_PIXELS = 224
BOND_COLOUR = (112, 112, 112)

# Both sites of each bond and the lattice translation of the second; a function that finds them.
Pairs = list[tuple[int, int, tuple[int, ...]]]
Search = Callable[[Structure], Pairs]


def majority(structure: Structure) -> Structure:
    """The structure with only the most abundant species on each site; sites store their index."""
    species = [max(site.species.items(), key=lambda part: part[1])[0] for site in structure]
    return Structure(
        structure.lattice,
        species,
        structure.frac_coords,
        site_properties={"site": list(range(len(structure)))},
    )


def crystalnn(structure: Structure) -> Pairs:
    """The bonds that CrystalNN finds, in both directions."""
    found = CrystalNN().get_all_nn_info(structure)
    return [(i, x["site_index"], tuple(x["image"])) for i, near in enumerate(found) for x in near]


def copied(pairs: Pairs, structure: Structure, supercell: Structure) -> Pairs:
    """The bonds of a unit cell, copied to every cell of its supercell."""
    site = np.array(supercell.site_properties["site"])
    fractional = structure.lattice.get_fractional_coords(supercell.cart_coords)
    cells = np.round(fractional - structure.frac_coords[site]).astype(int).tolist()
    number = {(s, *cell): n for n, (s, cell) in enumerate(zip(site.tolist(), cells, strict=True))}
    copies: Pairs = []
    for i, j, image in pairs:
        for cell in {tuple(cell) for cell in cells}:
            first = number.get((i, *cell))
            second = number.get((j, *(c + t for c, t in zip(cell, image, strict=True))))
            if first is not None and second is not None:
                copies.append((first, second, (0, 0, 0)))
    return copies


def draw_reference(
    structure: Structure,
    repeats: tuple[int, int, int],
    search: Search | None,
) -> np.ndarray:
    """A supercell viewed along a, [224, 224, 3] uint8 RGB; without ``search`` no bonds."""
    supercell = structure.make_supercell(repeats, in_place=False)
    symbols = [site.specie.name for site in supercell]
    radius = np.array([0.45 * element(symbol).radius for symbol in symbols])
    position = supercell.cart_coords @ _frame(structure).T
    pixel, scale = _fit(position, radius)

    shapes: list[tuple[float, Callable[[np.ndarray], object]]] = []
    for i, j, image in search(supercell) if search else []:
        if not any(image):
            ends = {"pt1": tuple(pixel[i].tolist()), "pt2": tuple(pixel[j].tolist())}
            line = partial(cv2.line, **ends, color=BOND_COLOUR, thickness=2)
            shapes.append(((position[i, 2] + position[j, 2]) / 2, line))
    for n, symbol in enumerate(symbols):
        disk = {"center": tuple(pixel[n].tolist()), "radius": round(radius[n] * scale)}
        circle = partial(cv2.circle, **disk, color=channels(symbol), thickness=-1)
        shapes.append((position[n, 2], circle))
    canvas = np.zeros((SIZE_PIXELS, SIZE_PIXELS, 3), dtype=np.uint8)
    for _, paint in sorted(shapes, key=lambda shape: shape[0]):
        paint(canvas)
    return canvas


def _frame(structure: Structure) -> np.ndarray:
    """[3, 3] rows right, up and towards the viewer; a points at the viewer, c up."""
    a, _, c = structure.lattice.matrix
    nearer = a / np.linalg.norm(a)
    up = c - (c @ nearer) * nearer
    up /= np.linalg.norm(up)
    return np.array([np.cross(up, nearer), up, nearer])


def _fit(position: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, float]:
    """[n, 2] pixels of atoms, and the scale in pixels per angstrom that fits the image."""
    low = (position[:, :2] - radius[:, None]).min(axis=0)
    high = (position[:, :2] + radius[:, None]).max(axis=0)
    scale = (SIZE_PIXELS - 8) / (high - low).max()
    pixel = (position[:, :2] - (low + high) / 2) * [scale, -scale] + SIZE_PIXELS / 2
    return np.round(pixel).astype(int), scale
