"""Writes views of crystals as PNG files with a manifest, to look at or to use elsewhere."""

import csv
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from supervision.data.crystals import Crystal
from supervision.data.featurize import MIN_CRYSTALS_FOR_PARALLEL
from supervision.models.vision.featurize import featurize_all_scenes
from supervision.models.vision.render import draw
from supervision.models.vision.scene import SCENE_VERSION, Scene
from supervision.models.vision.views import VIEWS
from supervision.runtime.images import save_png

MANIFEST_COLUMNS = ["file", "crystal_id", "formula", "tc", "view", "recipe", "pixels_sha256"]
ManifestRow = tuple[str, str, str, float | None, str, int, str]


def export_views(
    crystals: Sequence[Crystal],
    views: Sequence[int],
    folder: Path,
    *,
    bonding: str = "fast",
    quiet: bool = False,
) -> Path:
    """Draw ``views`` of each crystal as PNG files below ``folder``, in parallel.

    Writes ``manifest.csv`` with file, crystal, formula, Tc in kelvin, view, SCENE_VERSION (column
    ``recipe``) and the sha256 of the decoded pixels, which does not depend on the PNG encoder.
    Returns the path of the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenes = featurize_all_scenes(crystals, bonding=bonding, quiet=quiet)
    n_jobs = -1 if len(crystals) > MIN_CRYSTALS_FOR_PARALLEL else 1
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    written = run(delayed(_export)(c, scenes[c.id], tuple(views), folder) for c in crystals)
    manifest = folder / "manifest.csv"
    bar = tqdm(written, total=len(crystals), desc="images", unit="crystal", disable=quiet or None)
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(MANIFEST_COLUMNS)
        for rows in bar:
            writer.writerows(rows)
    return manifest


def _export(
    crystal: Crystal, scene: Scene, views: tuple[int, ...], folder: Path
) -> list[ManifestRow]:
    cv2.setNumThreads(1)
    stem = re.sub(r"[^A-Za-z0-9.+-]+", "_", crystal.id.removesuffix(".cif"))[:120]
    subfolder = folder / f"{stem}-{hashlib.sha256(crystal.id.encode()).hexdigest()[:8]}"
    subfolder.mkdir(exist_ok=True)
    rows: list[ManifestRow] = []
    for view in views:
        rgb = draw(scene, view)
        path = subfolder / f"{VIEWS[view].name}.png"
        save_png(path, rgb)
        digest = hashlib.sha256(rgb.tobytes()).hexdigest()
        name = path.relative_to(folder).as_posix()
        rows.append(
            (name, crystal.id, crystal.formula, crystal.tc, VIEWS[view].name, SCENE_VERSION, digest)
        )
    return rows
