"""Crystals -> cached scenes, in parallel. Needs pymatgen and numpy, not torch."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from supervision.crystals import Crystal, CrystalError, Reject
from supervision.paths import cache_dir, written_whole
from supervision.vision.scene import SCENE_VERSION, Scene, build_scene

SPAWN_FROM = 100  # crystals from which other processes are worth their start


def scene_of(crystal: Crystal, *, bonding: str = "fast") -> Scene:
    """The one path from a crystal to its pictures, in training and in serving.

    Raises CrystalError with one sentence.
    """
    structure = crystal.structure
    try:
        return build_scene(structure, bonding=bonding)
    except ValueError as error:
        raise CrystalError(str(error)) from error


def prepare_scenes(
    crystals: Sequence[Crystal], *, bonding: str = "fast", workers: int = 0, quiet: bool = False
) -> tuple[dict[str, Scene], list[Reject]]:
    """Scenes by crystal id, from the cache or built in parallel; what fails is a reject.

    The cache is named by the CIF's sha256, the recipe's version and the bonding, so an entry is
    never stale. ``workers=0`` takes every core.
    """
    folder = cache_dir() / "scenes" / f"v{SCENE_VERSION}-{bonding}"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(c, _entry(folder, c), bonding) for c in crystals]
    missing = [job for job in jobs if not job[1].is_file()]
    run = Parallel(n_jobs=workers or -1 if len(missing) > SPAWN_FROM else 1, return_as="generator")
    built = run(delayed(_build_entry)(*job) for job in missing)
    bar = tqdm(built, total=len(missing), desc="scenes", unit="crystal", disable=quiet or None)
    reasons = {path: why for path, why in bar if why}
    scenes, rejects = {}, []
    for crystal, (_, path, _) in zip(crystals, jobs, strict=True):
        if path in reasons:
            rejects.append(Reject(crystal.id, reasons[path]))
        else:
            scenes[crystal.id] = _read_entry(crystal, path, bonding)
    return scenes, rejects


def scenes_of(
    crystals: Sequence[Crystal], *, bonding: str = "fast", quiet: bool = False
) -> dict[str, Scene]:
    """Scenes of crystals that are known to be good; raises CrystalError for one that is not."""
    scenes, rejects = prepare_scenes(crystals, bonding=bonding, quiet=quiet)
    if rejects:
        raise CrystalError(f"{rejects[0].name} cannot be drawn: {rejects[0].reason}")
    return scenes


def _read_entry(crystal: Crystal, path: Path, bonding: str) -> Scene:
    """A scene from the cache; an entry that a full disk or a crash left damaged is made again."""
    try:
        with np.load(path) as arrays:
            return Scene.from_arrays(dict(arrays))
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
    _build_entry(crystal, path, bonding)
    with np.load(path) as arrays:
        return Scene.from_arrays(dict(arrays))


def _entry(folder: Path, crystal: Crystal) -> Path:
    return folder / crystal.content_hash[:2] / f"{crystal.content_hash}.npz"


def _build_entry(crystal: Crystal, path: Path, bonding: str) -> tuple[Path, str]:
    """Build and cache one scene; returns its path and why it failed, or an empty text."""
    try:
        scene = scene_of(crystal, bonding=bonding)
    except CrystalError as error:
        return path, str(error)
    with written_whole(path) as file:
        np.savez(file, **scene.to_arrays())  # type: ignore[arg-type]
    return path, ""
