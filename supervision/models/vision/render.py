"""Draws scenes: 18 orthographic views of a crystal, with colours that encode element properties.

    rgb = draw(scene, VIEWS[0])      # [224, 224, 3] uint8 RGB, black background
    save_png("Nb3Sn-1x1x1-a.png", rgb)

An image shows every periodic image of every site in the closed box of the supercell (an atom on a
face is drawn on both faces), and every bond whose two atoms are both drawn. Everything lies inside
the frame.

Colours keep fractional levels by ordered dithering: a channel value of 84.15 is drawn as pixels of
84 and 85 whose mean over the disk is 84.15. Every pixel of a disk is within one level of its value.
The mean over a full disk of 50 pixels or more is within 1/8 of a level, so dopings that change a
colour by far less than one level are still visible.

Centres, squared radii, depths and colours are rounded to integers first, and painting is integer
arithmetic, so the same scene gives the same pixels on any machine.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import cv2
import numpy as np

from supervision.models.vision.scene import FACE_TOLERANCE, GRID_STEP, Scene
from supervision.models.vision.views import VIEWS, View

SIZE_PIXELS = 224
MIN_SIZE_PIXELS = 32
DISK_TO_ATOMIC_RADIUS = 0.45
MARGIN_PIXELS = 4  # at the frame; room for the smallest disk, its rim and rounding
MIN_DISK_RADIUS_PIXELS = 1.5
MAX_DISK_RADIUS_FRACTION = 0.25  # of the image side; otherwise a single atom would fill the frame
BOND_WIDTH_ANGSTROM = 0.1
MAX_BOND_WIDTH_PIXELS = 2  # the thickness given to OpenCV, which paints 3 pixels for 2
BOND_GREY_LEVEL = 112  # of 255
DEPTH_STEP_ANGSTROM = 0.01  # rounding of depths; atoms within one step are at the same depth
ROUNDING_OFFSET = 1e-4  # makes exact halves round up in spite of floating-point noise

# Values of the object id map; atom n has the id FIRST_ATOM_ID + n.
BACKGROUND_ID = 0
BOND_ID = 1
FIRST_ATOM_ID = 2

# 2^16 / g and 2^16 / g^2 with g^3 = g + 1, the two-dimensional analogue of the golden ratio
# (M. Roberts, 'The unreasonable effectiveness of quasirandom sequences', 2018). The thresholds
# x / g + y / g^2 mod 1 are evenly distributed over disks of any size.
DITHER_STEP = np.array([49472, 37345], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions, sizes and depths of everything in one image, as integers.

    Attributes:
        site: [n] the scene's site of each drawn atom.
        cell: [n, 3] the unit cell of the atom, 0 to repeats.
        centre: [n, 2] x (right) and y (down) of the disk's central pixel.
        radius2: [n] squared radius in pixels; the pixel at (dx, dy) from the centre is in the disk
            if dx^2 + dy^2 <= radius2.
        depth: [n] in steps of 0.01 angstrom, larger is nearer.
        bonds: [m, 2] the two drawn atoms of each bond.
        ends: [m, 2, 2] pixels where the bond leaves the spheres of its two atoms.
        bond_depth: [m] depth of the bond's midpoint.
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


def draw(scene: Scene, view: View | int, *, size: int = SIZE_PIXELS, seed: int = 0) -> np.ndarray:
    """One image, [size, size, 3] uint8 RGB.

    Args:
        scene: what to draw.
        view: a view, or its index in VIEWS.
        size: pixels of a side.
        seed: of the random rotations; the same for all structures of a project.

    Raises ValueError for a size below MIN_SIZE_PIXELS.
    """
    if size < MIN_SIZE_PIXELS:
        raise ValueError(f"An image of {size} pixels is too small; use {MIN_SIZE_PIXELS} or more.")
    view = view if isinstance(view, View) else VIEWS[view]
    return paint(lay_out(scene, view, size=size, seed=seed), size=size)


def lay_out(scene: Scene, view: View, *, size: int = SIZE_PIXELS, seed: int = 0) -> Layout:
    """The layout of a view; arguments as for ``draw``."""
    site, cell, bonds = tile_supercell(scene, view.repeats)
    rotation = view_rotation(scene, view, seed=seed)
    position = (scene.frac[site] + cell) @ scene.lattice @ rotation.T  # [n, 3] right, up, nearer
    sphere = DISK_TO_ATOMIC_RADIUS * scene.radius[site]  # [n] angstrom

    low = (position[:, :2] - sphere[:, None]).min(axis=0)
    high = (position[:, :2] + sphere[:, None]).max(axis=0)
    fit = (size - 2 * MARGIN_PIXELS) / (high - low).max()
    scale = min(fit, MAX_DISK_RADIUS_FRACTION * size / sphere.max())  # pixels per angstrom
    middle = np.append((low + high) / 2, 0.0)
    flip = np.array([scale, -scale])

    ends = _bond_ends(position, sphere, bonds) - middle
    bond_width = _round(np.array(BOND_WIDTH_ANGSTROM * scale))
    return Layout(
        site=site,
        cell=cell,
        centre=_round((position - middle)[:, :2] * flip) + size // 2,
        radius2=_round(np.maximum(sphere * scale, MIN_DISK_RADIUS_PIXELS) ** 2),
        depth=_round(position[:, 2] / DEPTH_STEP_ANGSTROM),
        bonds=bonds,
        ends=_round(ends[..., :2] * flip) + size // 2,
        bond_depth=_round(ends[..., 2].mean(axis=1) / DEPTH_STEP_ANGSTROM),
        bond_width=int(np.clip(bond_width, 1, MAX_BOND_WIDTH_PIXELS)),
        channels=scene.channels[site],
    )


def tile_supercell(
    scene: Scene, repeats: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The atoms in the closed box of a supercell and the bonds among them.

    Returns site [n] and cell [n, 3] of each atom, and bonds [m, 2] as pairs of those atoms. An atom
    at 0 along an axis is repeated at the opposite face.
    """
    steps = np.array(repeats) + 1
    cells = np.array(list(product(*map(range, steps))))  # [k, 3]
    on_face = scene.frac <= FACE_TOLERANCE + GRID_STEP / 2  # [n, 3]
    inside = (cells < np.array(repeats)) | on_face[:, None]  # [n, k, 3]
    present = inside.all(axis=2)
    site, cell_index = np.nonzero(present)
    atom = np.full(present.shape, -1)  # [n, k] index of the drawn atom, or -1
    atom[present] = np.arange(len(site))

    partner = cells + scene.images[:, None]  # [m, k, 3] cell of the second atom
    in_range = ((partner >= 0) & (partner < steps)).all(axis=2)
    flat = np.where(in_range, partner @ np.array([steps[1] * steps[2], steps[2], 1]), 0)
    first = atom[scene.bonds[:, 0]]
    second = np.where(in_range, atom[scene.bonds[:, 1, None], flat], -1)
    drawn = (first >= 0) & (second >= 0)
    return site, cells[cell_index], np.stack([first[drawn], second[drawn]], axis=1)


def view_rotation(scene: Scene, view: View, *, seed: int = 0) -> np.ndarray:
    """[3, 3] unit vectors right, up and towards the viewer, as rows in the lattice's frame.

    In views along a and b, up is as close to c as possible; in views along c, as close to b.
    """
    viewing_axis, up_axis = {"a": (0, 2), "b": (1, 2)}.get(view.direction, (2, 1))
    z = _unit(scene.lattice[viewing_axis])
    y = _unit(scene.lattice[up_axis] - (scene.lattice[up_axis] @ z) * z)
    frame = np.array([np.cross(y, z), y, z])
    if view.direction in ("a", "b", "c"):
        return frame
    text = f"{scene.key} {seed} {view.name}"
    words = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype="<u4")
    return _random_rotation(np.random.Generator(np.random.PCG64(words.tolist()))) @ frame


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly distributed rotation (Shoemake, Graphics Gems III, 1992, p. 124)."""
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
    return np.floor(values + (0.5 + ROUNDING_OFFSET)).astype(np.int64)


def _bond_ends(position: np.ndarray, sphere: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """[m, 2, 3] where each bond leaves the spheres of its two atoms.

    So a bond towards the viewer starts on the disk of its atom, as in a ball-and-stick model. If
    the spheres overlap, both ends are the same point and the bond is not drawn.
    """
    first, second = position[bonds[:, 0]], position[bonds[:, 1]]
    length = np.linalg.norm(second - first, axis=1)
    start = sphere[bonds[:, 0]] / length
    stop = np.maximum(1 - sphere[bonds[:, 1]] / length, start)
    fraction = np.stack([start, stop], axis=1)[..., None]  # [m, 2, 1]
    return first[:, None] + fraction * (second - first)[:, None]


def paint(layout: Layout, *, size: int = SIZE_PIXELS) -> np.ndarray:
    """The pixels of a layout, [size, size, 3] uint8 RGB."""
    return _colour(object_ids(layout, size=size), layout)


def object_ids(layout: Layout, *, size: int = SIZE_PIXELS) -> np.ndarray:
    """[size, size] int32: the id of the object visible at each pixel (painter's algorithm).

    Each disk has a black rim, one pixel wide, which separates it from what lies behind it.
    """
    ids = np.full((size, size), BACKGROUND_ID, dtype=np.int32)
    atoms = list(zip(*layout.centre.T.tolist(), layout.radius2.tolist(), strict=True))
    ends = layout.ends.reshape(-1, 4).tolist()
    for index in _painting_order(layout):
        if index < len(atoms):
            x, y, radius2 = atoms[index]
            half, disk, rimmed = _disk(radius2)
            window = ids[y - half : y + half + 1, x - half : x + half + 1]
            np.copyto(window, BACKGROUND_ID, where=rimmed)
            np.copyto(window, FIRST_ATOM_ID + index, where=disk)
        else:
            x0, y0, x1, y1 = ends[index - len(atoms)]
            cv2.line(ids, (x0, y0), (x1, y1), BOND_ID, layout.bond_width)
    return ids


def _painting_order(layout: Layout) -> list[int]:
    """Indices of atoms (0 to n - 1) and bonds (from n), far to near; bonds first at equal depth."""
    visible = (layout.ends[:, 0] != layout.ends[:, 1]).any(axis=1)
    bonds = np.flatnonzero(visible)
    atoms = np.arange(len(layout.site))
    depth = np.concatenate([layout.depth, layout.bond_depth[bonds]])
    is_atom = np.repeat([1, 0], [len(atoms), len(bonds)])
    order = np.lexsort((is_atom, depth))
    return np.concatenate([atoms, bonds + len(atoms)])[order].tolist()


@lru_cache(maxsize=4096)
def _disk(radius2: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Half width of a window, and masks of the disk and of the disk with its rim."""
    rim2 = int(np.floor((np.sqrt(radius2) + 1.0) ** 2))
    half = int(np.sqrt(rim2))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    distance2 = x * x + y * y
    return half, distance2 <= radius2, distance2 <= rim2


def _colour(ids: np.ndarray, layout: Layout) -> np.ndarray:
    """The RGB image of an object id map, with fractional levels dithered."""
    n_ids = FIRST_ATOM_ID + len(layout.site)
    levels = np.zeros((3, n_ids), dtype=np.uint16)  # in 256ths
    levels[:, BOND_ID] = BOND_GREY_LEVEL * 256
    levels[:, FIRST_ATOM_ID:] = _round(layout.channels.T * 256)
    start = np.zeros(n_ids, dtype=np.uint16)  # thresholds start at the centre of each disk
    start[FIRST_ATOM_ID:] = layout.centre @ DITHER_STEP
    indices = ids.astype(np.intp)  # once, not in each ``take``
    threshold = (_dither_thresholds(ids.shape[0]) - start.take(indices)) >> 8
    rgb = np.empty((*ids.shape, 3), dtype=np.uint8)
    for channel, level in enumerate(levels):
        rgb[..., channel] = (level.take(indices) + threshold) >> 8
    return rgb


@lru_cache(maxsize=4)
def _dither_thresholds(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (x * DITHER_STEP[0] + y * DITHER_STEP[1]).astype(np.uint16)
