"""Views as PNG files with a manifest, for those who want to look at them or use them elsewhere."""

import csv
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from supervision.data.crystals import Crystal
from supervision.data.featurize import SPAWN_FROM
from supervision.models.vision.featurize import scenes_of
from supervision.models.vision.render import draw
from supervision.models.vision.scene import SCENE_VERSION, Scene
from supervision.models.vision.views import VIEWS
from supervision.runtime.images import save_png

COLUMNS = ["file", "crystal_id", "formula", "tc", "view", "recipe", "pixels_sha256"]
Row = tuple[str, str, str, float | None, str, int, str]


def export_views(
    crystals: Sequence[Crystal],
    views: Sequence[int],
    folder: Path,
    *,
    bonding: str = "fast",
    quiet: bool = False,
) -> Path:
    """Draw ``views`` of each crystal as PNG files below ``folder``, on all cores.

    Writes ``manifest.csv``: file, crystal, formula, Tc, view, the recipe's version and the sha256
    of the decoded pixels (which do not depend on the PNG encoder). Returns its path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = Parallel(n_jobs=-1 if len(crystals) > SPAWN_FROM else 1, return_as="generator")
    scenes = scenes_of(crystals, bonding=bonding, quiet=quiet)
    drawn = run(delayed(_export)(c, scenes[c.id], tuple(views), folder) for c in crystals)
    manifest = folder / "manifest.csv"
    bar = tqdm(drawn, total=len(crystals), desc="pictures", unit="crystal", disable=quiet or None)
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for rows in bar:
            writer.writerows(rows)
    return manifest


def _export(crystal: Crystal, scene: Scene, views: tuple[int, ...], folder: Path) -> list[Row]:
    cv2.setNumThreads(1)
    stem = re.sub(r"[^A-Za-z0-9.+-]+", "_", crystal.id.removesuffix(".cif"))[:120]
    below = folder / f"{stem}-{hashlib.sha256(crystal.id.encode()).hexdigest()[:8]}"
    below.mkdir(exist_ok=True)
    rows: list[Row] = []
    for view in views:
        rgb = draw(scene, view)
        path = below / f"{VIEWS[view].name}.png"
        save_png(path, rgb)
        digest = hashlib.sha256(rgb.tobytes()).hexdigest()
        name = path.relative_to(folder).as_posix()
        rows.append(
            (name, crystal.id, crystal.formula, crystal.tc, VIEWS[view].name, SCENE_VERSION, digest)
        )
    return rows
