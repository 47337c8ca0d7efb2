"""Whether the renderer's pictures are true, on real crystals; run by benchmarks/render.py."""

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
from supervision.models.vision.render import draw, lay_out, paint, stamp, tile
from supervision.models.vision.scene import FACE, GRID, Scene, build_scene
from supervision.models.vision.views import SUPERCELLS, VIEWS, View
from supervision.runtime.images import save_png

CLOSE = 0.1  # sum of the changes in atomic fractions that makes two dopings neighbours
WHOLE = 50  # pixels of a disk from which its mean is held to an eighth of a level


def report_fidelity(shuffled: Iterable[Crystal], count: int) -> None:
    """Bonds against CrystalNN and pictures against what they should show, on ordered structures."""
    structures = list(itertools.islice(_held_out(shuffled), count))
    scenes = [build_scene(structure) for structure in structures]
    print("\n## Fidelity\n")
    print(
        f"{len(structures)} ordered structures, each of another parent, none of a parent that the"
    )
    print("bond rule was chosen on; all 18 views of each.\n")
    _report_bonds(scenes, structures)
    both = list(zip(scenes, structures, strict=True))
    right = [_periodic_right(*pair, repeats) for pair in both for repeats in SUPERCELLS]
    print(
        f"- Atoms and bonds right at the boundary: {np.mean(right):.2%} of {len(right)} supercells."
    )
    _report_pictures(scenes)


def _report_bonds(scenes: Sequence[Scene], structures: Sequence[Structure]) -> None:
    pairs = zip(scenes, tqdm(structures, desc="CrystalNN"), strict=True)
    scores = np.array([_bond_score(scene, structure) for scene, structure in pairs])
    common, ours, theirs = scores.sum(axis=0)
    each = 2 * scores[:, 0] / (scores[:, 1] + scores[:, 2])
    print(f"- Bonds against CrystalNN: F1 {2 * common / (ours + theirs):.3f} over {theirs:,} bonds")
    print(
        f"  (precision {common / ours:.3f}, recall {common / theirs:.3f}), mean of the structures'"
    )
    print(f"  own F1 {each.mean():.3f}.")


def _report_pictures(scenes: Sequence[Scene]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checks = np.array(
            [
                [_picture_checks(scene, view, Path(folder)) for view in VIEWS]
                for scene in tqdm(scenes, desc="pictures")
            ]
        )  # [structure, view, 5]
    atoms, inside, visible, decoded, whole = checks.sum(axis=(0, 1))
    print(f"- Atoms wholly inside the frame: {inside / atoms:.2%} of {atoms:,}.")
    print(f"- Colours decoded from the saved PNG: {decoded / visible:.2%} of {visible:,} visible")
    print("  atoms. Decoded means within one level at every visible pixel, and for the")
    print(f"  {whole:,} disks seen whole, of {WHOLE} pixels or more, the mean within 1/8 level.")
    print("\n| atoms wholly hidden behind others | along an axis | from a random direction |")
    print("|---|---:|---:|")
    for repeats in SUPERCELLS:
        shares = []
        for axis in (True, False):
            views = [v.repeats == repeats and (v.direction in "abc") is axis for v in VIEWS]
            drawn, _, seen, _, _ = checks[:, views].sum(axis=(0, 1))
            shares.append(f"{1 - seen / drawn:.1%}")
        print(f"| {'x'.join(map(str, repeats))} | {shares[0]} | {shares[1]} |")


def _held_out(crystals: Iterable[Crystal]) -> Iterable[Structure]:
    """Ordered structures, one a parent, of the half of all parents that chose no parameter.

    The bond rule was chosen on parents whose sha256 begins with an odd byte.
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
    """Bonds in common with CrystalNN, ours, CrystalNN's."""
    wanted = build_scene(structure, bonding="crystalnn")
    ours, theirs = (
        set(map(tuple, np.column_stack([s.bonds, s.images]).tolist())) for s in (scene, wanted)
    )
    return len(ours & theirs), len(ours), len(theirs)


def _periodic_right(scene: Scene, structure: Structure, repeats: tuple[int, int, int]) -> bool:
    """Whether the atoms drawn are the images in the closed box, and the bonds all those among them.

    The images come from the parsed structure, one translation at a time.
    """
    site, cell, bonds = tile(scene, repeats)
    cells = np.array(list(itertools.product(range(-3, 5), repeat=3)))
    images = (structure.frac_coords[:, None] + cells).reshape(-1, 3)
    slack = FACE + GRID / 2
    expected = images[((images > -slack) & (images < np.array(repeats) + slack)).all(axis=1)]
    near, _ = cKDTree(expected).query(scene.frac[site] + cell)
    drawn = [(s, *c) for s, c in zip(site.tolist(), cell.tolist(), strict=True)]
    number = {atom: n for n, atom in enumerate(drawn)}
    atoms_right = len(number) == len(drawn) == len(expected) and near.max() < 2 * GRID

    wanted = set()
    for (i, j), image in zip(scene.bonds.tolist(), scene.images.tolist(), strict=True):
        for first, *at in drawn:
            second = (j, *(x + step for x, step in zip(at, image, strict=True)))
            if first == i and second in number:
                wanted.add((number[first, *at], number[second]))
    return atoms_right and len(bonds) == len(wanted) and set(map(tuple, bonds.tolist())) == wanted


def _picture_checks(scene: Scene, view: View, folder: Path) -> tuple[int, int, int, int, int]:
    """Atoms drawn, wholly in the frame, visible, decoded, and seen whole, from a saved file."""
    layout = lay_out(scene, view)
    save_png(folder / "view.png", paint(layout))
    pixels = np.asarray(Image.open(folder / "view.png")).astype(float)
    seen = stamp(layout).ravel() - 2
    at = np.flatnonzero(seen >= 0)
    atom, error = seen[at], pixels.reshape(-1, 3)[at] - layout.channels[seen[at]]

    atoms = len(layout.site)
    count = np.bincount(atom, minlength=atoms)
    wrong = np.bincount(atom[(np.abs(error) >= 1).any(axis=1)], minlength=atoms) > 0
    area = np.array([_area(radius2) for radius2 in layout.radius2.tolist()])
    whole = (count == area) & (count >= WHOLE)
    mean = np.stack([np.bincount(atom, e, atoms) for e in error.T], axis=1) / count.clip(1)[:, None]
    wrong |= whole & (np.abs(mean) > 1 / 8).any(axis=1)
    reach = np.sqrt(layout.radius2)[:, None]
    inside = ((layout.centre - reach >= 0) & (layout.centre + reach < len(pixels))).all(axis=1)
    visible = count > 0
    return (
        atoms,
        int(inside.sum()),
        int(visible.sum()),
        int((visible & ~wrong).sum()),
        int(whole.sum()),
    )


@cache
def _area(radius2: int) -> int:
    """Pixels of a disk."""
    reach = np.arange(-int(radius2**0.5) - 1, int(radius2**0.5) + 2)
    return int((reach[:, None] ** 2 + reach**2 <= radius2).sum())


# Doping


def report_collisions(crystals: Sequence[Crystal]) -> None:
    """How many neighbours in doping series give the same pixels: plainly rounded, and as drawn."""
    pairs = doping_neighbours(crystals)
    scenes = {}
    print("\n## Doping\n")
    for crystal in tqdm({c.id: c for pair in pairs for c in pair}.values(), desc="series"):
        try:
            scenes[crystal.id] = build_scene(parse_cif(crystal.cif))
        except (CrystalError, ValueError) as error:
            print(f"{crystal.id} is left out: {error}\n")
    kept = [(a.id, b.id) for a, b in pairs if a.id in scenes and b.id in scenes]
    print(f"{len(kept):,} pairs of structures of one parent, one the nearest in composition to the")
    print("other; those whose decoded pixels are the same:\n")
    print("| | view along a | all 9 axis views | all 18 views |\n|---|---:|---:|---:|")
    axes = [view for view in VIEWS if view.direction in "abc"]
    for name, painter in (("whole levels, whole radii", _plain), ("this renderer", draw)):
        same = [pair for pair in kept if _equal(painter, scenes, pair, VIEWS[:1])]
        on_axes = [pair for pair in same if _equal(painter, scenes, pair, axes)]
        everywhere = [pair for pair in on_axes if _equal(painter, scenes, pair, VIEWS)]
        cells = [f"{len(x) / len(kept):.2%} ({len(x)})" for x in (same, on_axes, everywhere)]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nThe random rotations are seeded from composition too, so a series is seen from other")
    print("sides there: the axis views are the fair comparison.")


def doping_neighbours(crystals: Sequence[Crystal]) -> list[tuple[Crystal, Crystal]]:
    """Each structure with the one of its parent that is nearest in composition, if that is near."""
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
            if apart[i, j] < CLOSE:
                pairs[min(i, j), max(i, j), id(family)] = (family[min(i, j)], family[max(i, j)])
    return list(pairs.values())


def _plain(scene: Scene, view: View) -> np.ndarray:
    """The picture with colours and radii rounded to whole levels and pixels."""
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
