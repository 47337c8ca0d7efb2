"""The straightforward pictures that the renderer is measured against.

A pymatgen supercell drawn with OpenCV, far things first, bonds from CrystalNN. CrystalNN has no
notion of disorder, so a site is its most abundant species. Written as one would write it with care;
what makes it slow is asked of it by its definition.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Structure

from supervision.data.elements import channels, element

SIZE = 224  # pixels
GREY = (112, 112, 112)

# Both ends of a bond and the image of the second, and what finds them.
Pairs = list[tuple[int, int, tuple[int, ...]]]
Search = Callable[[Structure], Pairs]


def majority(structure: Structure) -> Structure:
    """The most abundant species on each site, alone and whole; each site knows its number."""
    species = [max(site.species.items(), key=lambda part: part[1])[0] for site in structure]
    return Structure(
        structure.lattice,
        species,
        structure.frac_coords,
        site_properties={"site": list(range(len(structure)))},
    )


def crystalnn(structure: Structure) -> Pairs:
    """Every bond as CrystalNN gives it, site by site."""
    found = CrystalNN().get_all_nn_info(structure)
    return [(i, x["site_index"], tuple(x["image"])) for i, near in enumerate(found) for x in near]


def copied(pairs: Pairs, structure: Structure, supercell: Structure) -> Pairs:
    """The bonds of a unit cell, copied to every cell of its supercell."""
    site = np.array(supercell.site_properties["site"])
    place = structure.lattice.get_fractional_coords(supercell.cart_coords)
    cells = np.round(place - structure.frac_coords[site]).astype(int).tolist()
    number = {(s, *cell): n for n, (s, cell) in enumerate(zip(site.tolist(), cells, strict=True))}
    copies: Pairs = []
    for i, j, image in pairs:
        for cell in {tuple(cell) for cell in cells}:
            first = number.get((i, *cell))
            second = number.get((j, *(c + t for c, t in zip(cell, image, strict=True))))
            if first is not None and second is not None:
                copies.append((first, second, (0, 0, 0)))
    return copies


def picture(
    structure: Structure,
    repeats: tuple[int, int, int],
    search: Search | None,
) -> np.ndarray:
    """A supercell seen along a, [224, 224, 3] uint8 red-green-blue; no ``search``, no bonds."""
    supercell = structure.make_supercell(repeats, in_place=False)
    symbols = [site.specie.name for site in supercell]
    radius = np.array([0.45 * element(symbol).radius for symbol in symbols])
    place = supercell.cart_coords @ _frame(structure).T
    pixel, scale = _fit(place, radius)

    shapes: list[tuple[float, Callable[[np.ndarray], object]]] = []
    for i, j, image in search(supercell) if search else []:
        if not any(image):
            ends = {"pt1": tuple(pixel[i].tolist()), "pt2": tuple(pixel[j].tolist())}
            line = partial(cv2.line, **ends, color=GREY, thickness=2)
            shapes.append(((place[i, 2] + place[j, 2]) / 2, line))
    for n, symbol in enumerate(symbols):
        disk = {"center": tuple(pixel[n].tolist()), "radius": round(radius[n] * scale)}
        circle = partial(cv2.circle, **disk, color=channels(symbol), thickness=-1)
        shapes.append((place[n, 2], circle))
    canvas = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    for _, paint in sorted(shapes, key=lambda shape: shape[0]):
        paint(canvas)
    return canvas


def _frame(structure: Structure) -> np.ndarray:
    """[3, 3] rows right, up and towards the viewer, a pointing at the viewer and c up."""
    a, _, c = structure.lattice.matrix
    nearer = a / np.linalg.norm(a)
    up = c - (c @ nearer) * nearer
    up /= np.linalg.norm(up)
    return np.array([np.cross(up, nearer), up, nearer])


def _fit(place: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, float]:
    """[n, 2] pixels of atoms, and pixels per angstrom, so that all fits in."""
    low = (place[:, :2] - radius[:, None]).min(axis=0)
    high = (place[:, :2] + radius[:, None]).max(axis=0)
    scale = (SIZE - 8) / (high - low).max()
    pixel = (place[:, :2] - (low + high) / 2) * [scale, -scale] + SIZE / 2
    return np.round(pixel).astype(int), scale
