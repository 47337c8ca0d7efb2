"""Fidelity of the renderer on real crystals; run by benchmarks/render.py."""

import hashlib
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pymatgen.core import Composition, Structure
from scipy.spatial import cKDTree
from tqdm import tqdm

from supervision.data.cif import parse_cif
from supervision.data.crystals import Crystal
from supervision.data.errors import CrystalError
from supervision.models.vision.render import (
    FIRST_ATOM_ID,
    draw,
    lay_out,
    object_ids,
    paint,
    tile_supercell,
)
from supervision.models.vision.scene import FACE_TOLERANCE, GRID_STEP, Scene, build_scene
from supervision.models.vision.views import SUPERCELLS, VIEWS, View
from supervision.runtime.images import save_png

MAX_DOPING_DISTANCE = 0.1  # sum of the absolute differences of atomic fractions
MIN_DISK_PIXELS = 50  # of full disks whose mean must be within 1/8 of a level


def report_fidelity(shuffled: Iterable[Crystal], count: int) -> None:
    """Compare bonds with CrystalNN, and images with the expected content, on ordered structures."""
    structures = list(itertools.islice(_held_out_structures(shuffled), count))
    scenes = [build_scene(structure) for structure in structures]
    print("\n## Fidelity\n")
    print(
        f"{len(structures)} ordered structures, each of another parent; parents on which the bond"
    )
    print("criterion was tuned are excluded. All 18 views of each.\n")
    _report_bonds(scenes, structures)
    both = list(zip(scenes, structures, strict=True))
    correct = [_is_supercell_correct(*pair, repeats) for pair in both for repeats in SUPERCELLS]
    print(
        f"- Atoms and bonds correct at the boundary: {np.mean(correct):.2%} of {len(correct)} "
        "supercells."
    )
    _report_images(scenes)


def _report_bonds(scenes: Sequence[Scene], structures: Sequence[Structure]) -> None:
    pairs = zip(scenes, tqdm(structures, desc="CrystalNN"), strict=True)
    scores = np.array([_bond_score(scene, structure) for scene, structure in pairs])
    common, ours, theirs = scores.sum(axis=0)
    each = 2 * scores[:, 0] / (scores[:, 1] + scores[:, 2])
    print(f"- Bonds against CrystalNN: F1 {2 * common / (ours + theirs):.3f} over {theirs:,} bonds")
    print(f"  (precision {common / ours:.3f}, recall {common / theirs:.3f}), mean F1 per")
    print(f"  structure {each.mean():.3f}.")


def _report_images(scenes: Sequence[Scene]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checks = np.array(
            [
                [_check_image(scene, view, Path(folder)) for view in VIEWS]
                for scene in tqdm(scenes, desc="images")
            ]
        )  # [structure, view, 5]
    atoms, inside, visible, decoded, full = checks.sum(axis=(0, 1))
    print(f"- Atoms entirely inside the frame: {inside / atoms:.2%} of {atoms:,}.")
    print(f"- Colours decoded from the saved PNG: {decoded / visible:.2%} of {visible:,} visible")
    print("  atoms. Decoded means within one level at every visible pixel, and the mean within")
    print(f"  1/8 level for the {full:,} fully visible disks of {MIN_DISK_PIXELS} pixels or more.")
    print("\n| atoms fully hidden by others | axis views | random views |")
    print("|---|---:|---:|")
    for repeats in SUPERCELLS:
        fractions = []
        for axis in (True, False):
            views = [v.repeats == repeats and (v.direction in "abc") is axis for v in VIEWS]
            drawn, _, seen, _, _ = checks[:, views].sum(axis=(0, 1))
            fractions.append(f"{1 - seen / drawn:.1%}")
        print(f"| {'x'.join(map(str, repeats))} | {fractions[0]} | {fractions[1]} |")


def _held_out_structures(crystals: Iterable[Crystal]) -> Iterable[Structure]:
    """Ordered structures, one per parent, from the half of the parents not used for tuning.

    The bond criterion was tuned on parents whose sha256 begins with an odd byte.
    """
    seen = set()
    for crystal in crystals:
        parent = crystal.parent_id or crystal.id
        if parent in seen or hashlib.sha256(parent.encode()).digest()[0] % 2:
            continue
        structure = parse_cif(crystal.cif)
        if structure.is_ordered:
            seen.add(parent)
            yield structure


def _bond_score(scene: Scene, structure: Structure) -> tuple[int, int, int]:
    """Number of common bonds, of our bonds, and of CrystalNN's bonds."""
    reference = build_scene(structure, bonding="crystalnn")
    ours, theirs = (
        set(map(tuple, np.column_stack([s.bonds, s.images]).tolist())) for s in (scene, reference)
    )
    return len(ours & theirs), len(ours), len(theirs)


def _is_supercell_correct(
    scene: Scene, structure: Structure, repeats: tuple[int, int, int]
) -> bool:
    """Whether the drawn atoms and bonds are exactly those in the closed box of the supercell.

    The reference is a direct search over lattice translations of the parsed structure.
    """
    site, cell, bonds = tile_supercell(scene, repeats)
    cells = np.array(list(itertools.product(range(-3, 5), repeat=3)))
    images = (structure.frac_coords[:, None] + cells).reshape(-1, 3)
    tolerance = FACE_TOLERANCE + GRID_STEP / 2
    expected = images[
        ((images > -tolerance) & (images < np.array(repeats) + tolerance)).all(axis=1)
    ]
    near, _ = cKDTree(expected).query(scene.frac[site] + cell)
    drawn = [(s, *c) for s, c in zip(site.tolist(), cell.tolist(), strict=True)]
    number = {atom: n for n, atom in enumerate(drawn)}
    atoms_correct = len(number) == len(drawn) == len(expected) and near.max() < 2 * GRID_STEP

    expected_bonds = set()
    for (i, j), image in zip(scene.bonds.tolist(), scene.images.tolist(), strict=True):
        for first, *at in drawn:
            second = (j, *(x + step for x, step in zip(at, image, strict=True)))
            if first == i and second in number:
                expected_bonds.add((number[first, *at], number[second]))
    return (
        atoms_correct
        and len(bonds) == len(expected_bonds)
        and set(map(tuple, bonds.tolist())) == expected_bonds
    )


def _check_image(scene: Scene, view: View, folder: Path) -> tuple[int, int, int, int, int]:
    """Numbers of atoms drawn, inside the frame, visible, decoded and fully visible.

    The image is saved as PNG and read with another library.
    """
    layout = lay_out(scene, view)
    save_png(folder / "view.png", paint(layout))
    pixels = np.asarray(Image.open(folder / "view.png")).astype(float)
    atom_index = object_ids(layout).ravel() - FIRST_ATOM_ID  # of each pixel
    covered = np.flatnonzero(atom_index >= 0)
    atom = atom_index[covered]
    error = pixels.reshape(-1, 3)[covered] - layout.channels[atom]

    atoms = len(layout.site)
    count = np.bincount(atom, minlength=atoms)
    wrong = np.bincount(atom[(np.abs(error) >= 1).any(axis=1)], minlength=atoms) > 0
    area = np.array([_area(radius2) for radius2 in layout.radius2.tolist()])
    full = (count == area) & (count >= MIN_DISK_PIXELS)
    mean = np.stack([np.bincount(atom, e, atoms) for e in error.T], axis=1) / count.clip(1)[:, None]
    wrong |= full & (np.abs(mean) > 1 / 8).any(axis=1)
    radius = np.sqrt(layout.radius2)[:, None]
    inside = ((layout.centre - radius >= 0) & (layout.centre + radius < len(pixels))).all(axis=1)
    visible = count > 0
    return (
        atoms,
        int(inside.sum()),
        int(visible.sum()),
        int((visible & ~wrong).sum()),
        int(full.sum()),
    )


@cache
def _area(radius2: int) -> int:
    """Number of pixels of a disk."""
    offsets = np.arange(-int(radius2**0.5) - 1, int(radius2**0.5) + 2)
    return int((offsets[:, None] ** 2 + offsets**2 <= radius2).sum())


# Doping


def report_doping(crystals: Sequence[Crystal]) -> None:
    """How many pairs of similar dopings give identical pixels, with and without dithering."""
    pairs = doping_neighbours(crystals)
    scenes = {}
    print("\n## Doping\n")
    for crystal in tqdm({c.id: c for pair in pairs for c in pair}.values(), desc="series"):
        try:
            scenes[crystal.id] = build_scene(parse_cif(crystal.cif))
        except (CrystalError, ValueError) as error:
            print(f"{crystal.id} is skipped: {error}\n")
    kept = [(a.id, b.id) for a, b in pairs if a.id in scenes and b.id in scenes]
    print(f"{len(kept):,} pairs of structures of one parent with the most similar composition.")
    print("Pairs with identical decoded pixels:\n")
    print("| | view along a | all 9 axis views | all 18 views |\n|---|---:|---:|---:|")
    axes = [view for view in VIEWS if view.direction in "abc"]
    for name, painter in (("integer levels and radii", _draw_rounded), ("this renderer", draw)):
        same = [pair for pair in kept if _equal(painter, scenes, pair, VIEWS[:1])]
        on_axes = [pair for pair in same if _equal(painter, scenes, pair, axes)]
        everywhere = [pair for pair in on_axes if _equal(painter, scenes, pair, VIEWS)]
        cells = [f"{len(x) / len(kept):.2%} ({len(x)})" for x in (same, on_axes, everywhere)]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nThe random rotations depend on the composition too, so they differ within a series.")
    print("Only the axis views are comparable.")


def doping_neighbours(crystals: Sequence[Crystal]) -> list[tuple[Crystal, Crystal]]:
    """Pairs of each structure and the most similar composition of the same parent, if close."""
    families = defaultdict(list)
    for crystal in crystals:
        families[crystal.parent_id or crystal.id].append(crystal)
    pairs = {}
    for family in families.values():
        fractions = [Composition(c.formula).fractional_composition for c in family]
        elements = sorted({e for composition in fractions for e in composition})
        table = np.array([[composition[e] for e in elements] for composition in fractions])
        apart = np.abs(table[:, None] - table[None]).sum(axis=2)
        apart[apart < 1e-6] = np.inf  # the same composition is not a neighbour
        for i, j in enumerate(apart.argmin(axis=1).tolist()):
            if apart[i, j] < MAX_DOPING_DISTANCE:
                pairs[min(i, j), max(i, j), id(family)] = (family[min(i, j)], family[max(i, j)])
    return list(pairs.values())


def _draw_rounded(scene: Scene, view: View) -> np.ndarray:
    """The image with colours and radii rounded to integer levels and pixels."""
    layout = lay_out(scene, view)
    radius = np.floor(np.sqrt(layout.radius2) + 0.5).astype(np.int64)
    return paint(replace(layout, channels=np.round(layout.channels), radius2=radius**2))


def _equal(
    painter: Callable[[Scene, View], np.ndarray],
    scenes: dict[str, Scene],
    pair: tuple[str, str],
    views: Iterable[View],
) -> bool:
    one, two = (scenes[name] for name in pair)
    return all((painter(one, view) == painter(two, view)).all() for view in views)
