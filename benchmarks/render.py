"""Speed and fidelity of the renderer on real crystals.

    python -m benchmarks.render                        # speed, fidelity, doping: a few minutes
    python -m benchmarks.render --full --processes 2   # and all 18 views of all of 3DSC

Reads ../shared/data/3dsc/3DSC_MP.tar.xz, or the file given with --data. Times are processor seconds
of one thread, from a parsed structure to pixels in memory.

There are two reference implementations. Both draw a pymatgen supercell with OpenCV, far atoms
first. (1) runs CrystalNN on every supercell; (2) runs it once on the unit cell and copies the
bonds. CrystalNN does not support disorder, so both use the most abundant species of each site.
"""

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import cv2
import numpy as np
from pymatgen.core import Structure
from tqdm import tqdm

from benchmarks.render_fidelity import report_doping, report_fidelity
from benchmarks.render_reference import Pairs, Search, copied, crystalnn, draw_reference, majority
from supervision.data.cif import parse_cif
from supervision.data.crystals import Crystal
from supervision.data.datasets.load import load_dataset
from supervision.data.errors import CrystalError
from supervision.models.vision.render import draw
from supervision.models.vision.scene import build_scene
from supervision.models.vision.views import SUPERCELLS, VIEWS

ARCHIVE = "../shared/data/3dsc/3DSC_MP.tar.xz"


def main() -> None:
    """Run all parts and print their tables."""
    options = _options()
    warnings.simplefilter("ignore")  # CrystalNN warns about missing oxidation states of every site
    cv2.setNumThreads(1)
    crystals = load_dataset("3dsc", options.data).crystals
    rng = np.random.default_rng(options.seed)
    shuffled = [crystals[i] for i in rng.permutation(len(crystals))]
    drawable = (crystal for crystal in shuffled if _draw_all(crystal.cif))
    report_speed(list(itertools.islice(drawable, options.structures)), len(crystals))
    report_fidelity(shuffled, options.fidelity)
    report_doping(crystals)
    if options.full:
        report_full(crystals, options.processes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default=ARCHIVE, help="the 3DSC archive or folder")
    parser.add_argument("--structures", type=int, default=100, help="structures for speed")
    parser.add_argument("--fidelity", type=int, default=240, help="ordered structures for fidelity")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--full", action="store_true", help="draw all of 3DSC")
    parser.add_argument("--processes", type=int, default=2, help="for --full")
    return parser.parse_args()


# Speed


def report_speed(sample: Sequence[Crystal], total: int) -> None:
    """Time this renderer and both references on the same structures and print the ratios."""
    parsing, structures = _timed(lambda: [parse_cif(c.cif) for c in sample])
    n = len(structures)
    ours, without_bonds = (_ours(structures, bonding) for bonding in ("fast", "none"))
    every_view, unit_cell, once, no_bonds = _references(structures)
    print(f"\n## Speed\n\n{n} structures, {sum(map(len, structures)) / n:.1f} sites on average.\n")
    print("| | ms per view | images/s per core | relative to ours |\n|---|---:|---:|---:|")
    for name, seconds, baseline in (
        ("this renderer, bonds", sum(ours), ours),
        ("this renderer, no bonds", sum(without_bonds), without_bonds),
        ("(1) CrystalNN on every view, in its supercell", every_view, ours),
        ("(1') CrystalNN on every view, in the unit cell alone", unit_cell, ours),
        ("(2) CrystalNN once per structure", once, ours),
        ("(1) and (2) without bonds", no_bonds, without_bonds),
    ):
        ratio = seconds / sum(baseline)
        print(f"| {name} | {1e3 * seconds:.2f} | {1 / seconds:,.1f} | {ratio:,.1f} |")
    print(
        f"\nOurs with bonds: {1e3 * ours[1]:.2f} ms to draw a view and {1e3 * ours[0]:.2f} ms for"
    )
    print(
        "its share of the scene, which is built once for 18 views. Ours was timed on all 18 views"
    )
    print("of each structure, the references on one view along a of each of the three supercells,")
    print("because their time does not depend on the direction.")
    minutes = total * (parsing / n + len(VIEWS) * sum(ours)) / 60
    print(f"\nExtrapolated to 18 views of all {total:,} structures, CIF parsing included:")
    print(f"{minutes:.1f} minutes on one core, {minutes / 2:.1f} on two.")


def _references(structures: Sequence[Structure]) -> tuple[float, float, float, float]:
    """Seconds per view of the reference implementations, in the order of the table."""
    ordered = [majority(structure) for structure in structures]
    search, pairs = _timed(lambda: [crystalnn(s) for s in tqdm(ordered, desc="unit cells")])
    search /= len(ordered)
    jobs = list(itertools.product(zip(ordered, pairs, strict=True), SUPERCELLS))

    def per_view(name: str, bonds: Callable[[Structure, Pairs], Search | None]) -> float:
        bar = tqdm(jobs, desc=name)
        return _timed(lambda: [draw_reference(s, r, bonds(s, p)) for (s, p), r in bar])[0] / len(
            jobs
        )

    every_view = per_view("CrystalNN", lambda _structure, _pairs: crystalnn)
    copying = per_view("copied", lambda structure, pairs: partial(copied, pairs, structure))
    no_bonds = per_view("no bonds", lambda _structure, _pairs: None)
    return every_view, copying + search, copying + search / len(VIEWS), no_bonds


def _timed(function: Callable) -> tuple[float, list]:
    """Processor seconds of a call, and what it returned."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def _ours(structures: Sequence[Structure], bonding: str) -> tuple[float, float]:
    """Seconds per view for the scene (shared by 18 views) and for drawing."""
    views = len(structures) * len(VIEWS)
    build, scenes = _timed(lambda: [build_scene(s, bonding=bonding) for s in structures])
    drawing, _ = _timed(lambda: [draw(scene, view) for scene in scenes for view in VIEWS])
    return build / views, drawing / views


# All of 3DSC


def report_full(crystals: Sequence[Crystal], processes: int) -> None:
    """Draw every view of every structure from CIF text; print the wall time."""
    start, texts = time.perf_counter(), [crystal.cif for crystal in crystals]
    with ProcessPoolExecutor(processes, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        drawn = list(tqdm(pool.map(_draw_all, texts, chunksize=50), total=len(texts), desc="3DSC"))
    minutes = (time.perf_counter() - start) / 60
    print(f"\n## All of 3DSC\n\n{sum(drawn):,} images of {sum(map(bool, drawn)):,} structures")
    print(f"({drawn.count(0)} refused), from CIF text, with {processes} processes in {minutes:.1f}")
    print(f"minutes of wall time: {sum(drawn) / minutes / 60:,.0f} images per second.")


def _draw_all(cif: str) -> int:
    """Draw all views of a CIF; returns their number, or 0 if it cannot be drawn."""
    try:
        scene = build_scene(parse_cif(cif))
    except (CrystalError, ValueError):
        return 0
    return len([draw(scene, view) for view in VIEWS])


if __name__ == "__main__":
    main()
