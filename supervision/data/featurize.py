"""Crystals -> what a paradigm reads of them: worked out once, in parallel, and kept.

An entry of the cache is named by the sha256 of the CIF text and lies in a folder named by the
recipe, so it is never stale. Needs pymatgen and numpy, not torch; what an archive has brought is
read without pymatgen.
"""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from tqdm.auto import tqdm

from supervision.data.crystals import Arrays, Crystal, Reject
from supervision.data.errors import CrystalError, DatasetError, crystal_errors
from supervision.runtime.files import atomic_write, cache_dir

SPAWN_FROM = 100  # crystals from which other processes are worth their start


class Featurised(Protocol):
    """What can be written down as plain arrays."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""


Features = TypeVar("Features", bound=Featurised)


@dataclass(frozen=True)
class Featurizer(Generic[Features]):
    """How one crystal is prepared.

    Attributes:
        noun: what comes of it, in the plural; also the cache's folder.
        version: changes whenever the result would.
        build: crystal -> result; called by ``make``.
        read: the arrays of a result -> the result; raises KeyError where one is missing.
    """

    noun: str
    version: str
    build: Callable[[Crystal], Features]
    read: Callable[[Arrays], Features]

    @property
    def name(self) -> str:
        """What and in which version, such as ``graphs/v1``."""
        return f"{self.noun}/{self.version}"

    def make(self, crystal: Crystal) -> Features:
        """What is built of a crystal. Raises CrystalError, whatever fails."""
        with crystal_errors():
            return self.build(crystal)

    def of(self, crystal: Crystal) -> Features:
        """What an archive brought of a crystal, or else what is built of it.

        Raises CrystalError, and DatasetError for an archive that was made by another recipe.
        """
        if not crystal.prepared:
            return self.make(crystal)
        if self.name not in crystal.prepared:
            raise DatasetError(
                f"The archive holds {', '.join(crystal.prepared)} and this reads {self.name}: "
                "write one that fits with python -m entrypoints.prepare, by this code and for "
                "these weights."
            )
        return self.read(crystal.prepared[self.name])

    def entry(self, crystal: Crystal) -> Path:
        """Where a crystal's result is kept."""
        name = crystal.content_hash
        return cache_dir() / self.name / name[:2] / f"{name}.npz"


def featurize(
    recipe: Featurizer[Features],
    crystals: Sequence[Crystal],
    *,
    workers: int = 0,
    quiet: bool = False,
) -> tuple[dict[str, Features], list[Reject]]:
    """Results by crystal id, as an archive brought them, from the cache or built in parallel.

    What fails is a reject. ``workers=0`` takes every core.
    """
    results = {crystal.id: recipe.of(crystal) for crystal in crystals if crystal.prepared}
    crystals = [crystal for crystal in crystals if crystal.id not in results]
    if not crystals:
        return results, []
    from joblib import Parallel, delayed

    paths = [recipe.entry(crystal) for crystal in crystals]
    missing = [job for job in zip(crystals, paths, strict=True) if not job[1].is_file()]
    run = Parallel(n_jobs=workers or -1 if len(missing) > SPAWN_FROM else 1, return_as="generator")
    built = run(delayed(_build_entry)(recipe, crystal, path) for crystal, path in missing)
    bar = tqdm(built, total=len(missing), desc=recipe.noun, unit="crystal", disable=quiet or None)
    reasons = {path: why for path, why in bar if why}
    rejects = []
    for crystal, path in zip(crystals, paths, strict=True):
        if path in reasons:
            rejects.append(Reject(crystal.id, reasons[path]))
        else:
            results[crystal.id] = _read_entry(recipe, crystal, path)
    return results, rejects


def featurize_all(
    recipe: Featurizer[Features], crystals: Sequence[Crystal], *, quiet: bool = False
) -> dict[str, Features]:
    """Results of crystals that are known to be good; raises CrystalError for one that is not."""
    results, rejects = featurize(recipe, crystals, quiet=quiet)
    if rejects:
        raise CrystalError(f"{rejects[0].name} cannot be used: {rejects[0].reason}")
    return results


def _read_entry(recipe: Featurizer[Features], crystal: Crystal, path: Path) -> Features:
    """A result from the cache; an entry that a full disk or a crash left damaged is made again."""
    try:
        with np.load(path) as arrays:
            return recipe.read(dict(arrays))
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
    _build_entry(recipe, crystal, path)
    with np.load(path) as arrays:
        return recipe.read(dict(arrays))


def _build_entry(recipe: Featurizer[Features], crystal: Crystal, path: Path) -> tuple[Path, str]:
    """Build and cache one result; returns its path and why it failed, or an empty text."""
    try:
        result = recipe.make(crystal)
    except CrystalError as error:
        return path, str(error)
    with atomic_write(path) as file:
        np.savez(file, **result.to_arrays())  # type: ignore[arg-type]
    return path, ""
