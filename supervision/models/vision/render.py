"""A scene drawn as pixels: 18 orthographic views of a crystal, colours that carry physics.

    rgb = draw(scene, VIEWS[0])      # [224, 224, 3] uint8, red-green-blue, black background
    save_png("Nb3Sn-1x1x1-a.png", rgb)

What is in a picture: every periodic image of every site inside the closed box of the supercell
(an atom on a face is there on both faces), and every bond whose two ends are both there. Nothing
else, and nothing outside the frame.

How a disk's colour is read: a channel value such as 84.15 is drawn as pixels of 84 and 85 whose
mean over the disk is 84.15 (ordered dithering, laid out from the disk's own centre). Every pixel
of a disk is therefore within one level of the value, and the mean over a whole disk within 1/8 of a
level for disks of 50 pixels or more, so that dopings far below one level still differ.

All that decides a pixel (centres, squared radii, depths, colours) is rounded to integers first,
and painting is integer arithmetic: the same scene gives the same pixels on any machine.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import cv2
import numpy as np

from supervision.models.vision.scene import FACE, GRID, Scene
from supervision.models.vision.views import VIEWS, View

SIZE = 224  # pixels
SMALLEST_SIZE = 32
DISK_SCALE = 0.45  # radius of a disk over the atomic radius
MARGIN = 4  # pixels kept free at the frame: the smallest disk, its rim and rounding fit in
SMALLEST_RADIUS = 1.5  # pixels
LARGEST_DISK = 0.25  # radius over the frame's side, where a lone atom or column would fill it
BOND_WIDTH = 0.1  # angstrom
WIDEST_BOND = 2  # of OpenCV, which paints 3 pixels for it
BOND_GREY = 112  # of 255
DEPTH_STEP = 0.01  # angstrom; atoms closer in depth than this are at the same depth
NUDGE = 1e-4  # added before rounding, so that exact halves never depend on float noise


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything of one picture goes, in integers.

    Attributes:
        site: [n] the scene's site of each drawn atom.
        cell: [n, 3] the cell it is in, 0 to repeats.
        centre: [n, 2] x (right) and y (down) of the disk's central pixel.
        radius2: [n] squared radius in pixels; a pixel at (dx, dy) is in the disk if
            dx^2 + dy^2 <= radius2.
        depth: [n] in steps of 0.01 angstrom, larger is nearer.
        bonds: [m, 2] the two drawn atoms of each bond.
        ends: [m, 2, 2] pixels where the bond leaves its two atoms' spheres.
        bond_depth: [m] depth of the bond's middle.
        bond_width: pixels.
        channels: [n, 3] colour of each atom, 0 to 255.
    """

    site: np.ndarray
    cell: np.ndarray
    centre: np.ndarray
    radius2: np.ndarray
    depth: np.ndarray
    bonds: np.ndarray
    ends: np.ndarray
    bond_depth: np.ndarray
    bond_width: int
    channels: np.ndarray


def draw(scene: Scene, view: View | int, *, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """One picture, [size, size, 3] uint8, red-green-blue.

    Args:
        scene: what to draw.
        view: a view, or its place in VIEWS.
        size: pixels of a side.
        seed: of the random rotations; the same for all structures of a project.

    Raises ValueError for a size below 32 pixels, which leaves no room for atoms.
    """
    if size < SMALLEST_SIZE:
        raise ValueError(f"A picture of {size} pixels is too small: {SMALLEST_SIZE} at least.")
    view = view if isinstance(view, View) else VIEWS[view]
    return paint(lay_out(scene, view, size=size, seed=seed), size=size)


def lay_out(scene: Scene, view: View, *, size: int = SIZE, seed: int = 0) -> Layout:
    """Where the atoms and bonds of a view go on the page; arguments as for ``draw``."""
    site, cell, bonds = tile(scene, view.repeats)
    to_page = rotation(scene, view, seed=seed)
    position = (scene.frac[site] + cell) @ scene.lattice @ to_page.T  # [n, 3] right, up, nearer
    sphere = DISK_SCALE * scene.radius[site]  # [n] angstrom

    low = (position[:, :2] - sphere[:, None]).min(axis=0)
    high = (position[:, :2] + sphere[:, None]).max(axis=0)
    fit = (size - 2 * MARGIN) / (high - low).max()
    scale = min(fit, LARGEST_DISK * size / sphere.max())  # pixels per angstrom
    middle = np.append((low + high) / 2, 0.0)
    flip = np.array([scale, -scale])

    ends = _bond_ends(position, sphere, bonds) - middle
    return Layout(
        site=site,
        cell=cell,
        centre=_round((position - middle)[:, :2] * flip) + size // 2,
        radius2=_round(np.maximum(sphere * scale, SMALLEST_RADIUS) ** 2),
        depth=_round(position[:, 2] / DEPTH_STEP),
        bonds=bonds,
        ends=_round(ends[..., :2] * flip) + size // 2,
        bond_depth=_round(ends[..., 2].mean(axis=1) / DEPTH_STEP),
        bond_width=int(np.clip(_round(np.array(BOND_WIDTH * scale)), 1, WIDEST_BOND)),
        channels=scene.channels[site],
    )


def tile(scene: Scene, repeats: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The atoms of the closed supercell box and the bonds among them.

    Returns site [n] and cell [n, 3] of each atom, and bonds [m, 2] as pairs of those atoms. An atom
    at 0 along an axis is there again at the far face; a bond is there if both its ends are.
    """
    steps = np.array(repeats) + 1
    cells = np.array(list(product(*map(range, steps))))  # [k, 3]
    on_face = scene.frac <= FACE + GRID / 2  # [n, 3]
    inside = (cells < np.array(repeats)) | on_face[:, None]  # [n, k, 3]
    present = inside.all(axis=2)
    site, place = np.nonzero(present)
    number = np.full(present.shape, -1)
    number[present] = np.arange(len(site))

    partner = cells + scene.images[:, None]  # [m, k, 3] cell of the second atom
    in_range = ((partner >= 0) & (partner < steps)).all(axis=2)
    flat = np.where(in_range, partner @ np.array([steps[1] * steps[2], steps[2], 1]), 0)
    first = number[scene.bonds[:, 0]]
    second = np.where(in_range, number[scene.bonds[:, 1, None], flat], -1)
    drawn = (first >= 0) & (second >= 0)
    return site, cells[place], np.stack([first[drawn], second[drawn]], axis=1)


def rotation(scene: Scene, view: View, *, seed: int = 0) -> np.ndarray:
    """[3, 3] rows right, up and towards the viewer, as unit vectors in the lattice's frame.

    Along a and b the page's up is as near c as it can be, along c as near b.
    """
    nearer, up = {"a": (0, 2), "b": (1, 2)}.get(view.direction, (2, 1))
    z = _unit(scene.lattice[nearer])
    y = _unit(scene.lattice[up] - (scene.lattice[up] @ z) * z)
    frame = np.array([np.cross(y, z), y, z])
    if view.direction in ("a", "b", "c"):
        return frame
    text = f"{scene.key} {seed} {view.name}"
    words = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype="<u4")
    return _random_rotation(np.random.Generator(np.random.PCG64(words.tolist()))) @ frame


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation drawn evenly from all (Shoemake, Graphics Gems III, 1992, p. 124)."""
    u, v, w = rng.random(3) * np.array([1.0, 2 * np.pi, 2 * np.pi])
    r, s = np.sqrt(1 - u), np.sqrt(u)
    i, j, k, real = r * np.sin(v), r * np.cos(v), s * np.sin(w), s * np.cos(w)
    return np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j - k * real), 2 * (i * k + j * real)],
            [2 * (i * j + k * real), 1 - 2 * (i * i + k * k), 2 * (j * k - i * real)],
            [2 * (i * k - j * real), 2 * (j * k + i * real), 1 - 2 * (i * i + j * j)],
        ]
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _round(values: np.ndarray) -> np.ndarray:
    return np.floor(values + (0.5 + NUDGE)).astype(np.int64)


def _bond_ends(position: np.ndarray, sphere: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """[m, 2, 3] where each bond leaves the spheres of its two atoms.

    So a bond towards the viewer starts on its atom's disk, as a stick on a ball does. Where the two
    spheres touch nothing is left to see and both ends are the same point.
    """
    first, second = position[bonds[:, 0]], position[bonds[:, 1]]
    length = np.linalg.norm(second - first, axis=1)
    start = sphere[bonds[:, 0]] / length
    stop = np.maximum(1 - sphere[bonds[:, 1]] / length, start)
    share = np.stack([start, stop], axis=1)[..., None]  # [m, 2, 1]
    return first[:, None] + share * (second - first)[:, None]


def paint(layout: Layout, *, size: int = SIZE) -> np.ndarray:
    """The pixels of a layout, [size, size, 3] uint8, red-green-blue."""
    return _colour(stamp(layout, size=size), layout)


def stamp(layout: Layout, *, size: int = SIZE) -> np.ndarray:
    """[size, size] int32: which thing is seen at each pixel, far things painted over by near ones.

    0 is the background, 1 a bond, and 2 + n the atom n. A black rim one pixel wide sets each disk
    off from what lies behind it.
    """
    page = np.zeros((size, size), dtype=np.int32)
    atoms = list(zip(*layout.centre.T.tolist(), layout.radius2.tolist(), strict=True))
    ends = layout.ends.reshape(-1, 4).tolist()
    for thing in _far_to_near(layout):
        if thing < len(atoms):
            x, y, radius2 = atoms[thing]
            reach, disk, rimmed = _disk(radius2)
            window = page[y - reach : y + reach + 1, x - reach : x + reach + 1]
            np.copyto(window, 0, where=rimmed)
            np.copyto(window, thing + 2, where=disk)
        else:
            x0, y0, x1, y1 = ends[thing - len(atoms)]
            cv2.line(page, (x0, y0), (x1, y1), 1, layout.bond_width)
    return page


def _far_to_near(layout: Layout) -> list[int]:
    """Order of painting. Atoms are 0 to n - 1, bonds follow; at one depth bonds come first."""
    visible = (layout.ends[:, 0] != layout.ends[:, 1]).any(axis=1)
    bonds = np.flatnonzero(visible)
    atoms = np.arange(len(layout.site))
    depth = np.concatenate([layout.depth, layout.bond_depth[bonds]])
    is_atom = np.repeat([1, 0], [len(atoms), len(bonds)])
    order = np.lexsort((is_atom, depth))
    return np.concatenate([atoms, bonds + len(atoms)])[order].tolist()


@lru_cache(maxsize=4096)
def _disk(radius2: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Half width of the stamp, the disk's pixels, and those of the disk with its rim."""
    rim2 = int(np.floor((np.sqrt(radius2) + 1.0) ** 2))
    reach = int(np.sqrt(rim2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance2 = x * x + y * y
    return reach, distance2 <= radius2, distance2 <= rim2


def _colour(page: np.ndarray, layout: Layout) -> np.ndarray:
    """Colours of the things on a page, fractional levels dithered."""
    levels = np.zeros((3, len(layout.site) + 2), dtype=np.uint16)  # in 256ths
    levels[:, 1] = BOND_GREY * 256
    levels[:, 2:] = _round(layout.channels.T * 256)
    start = np.zeros(len(layout.site) + 2, dtype=np.uint16)
    start[2:] = layout.centre @ DITHER_STEP
    page = page.astype(np.intp)  # once, not in each take
    threshold = (_dither(page.shape[0]) - start.take(page)) >> 8
    rgb = np.empty((*page.shape, 3), dtype=np.uint8)
    for channel, level in enumerate(levels):
        rgb[..., channel] = (level.take(page) + threshold) >> 8
    return rgb


# 2^16 / g and 2^16 / g^2 with g^3 = g + 1: the plane's analogue of the golden ratio (M. Roberts,
# 'The unreasonable effectiveness of quasirandom sequences', 2018). Thresholds x / g + y / g^2 mod 1
# fill the interval evenly over a disk of any size.
DITHER_STEP = np.array([49472, 37345], dtype=np.int64)


@lru_cache(maxsize=4)
def _dither(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (x * DITHER_STEP[0] + y * DITHER_STEP[1]).astype(np.uint16)
