"""Featurizers: crystals to a model family's input arrays, computed in parallel and cached.

A cache entry is named by the sha256 of the CIF text, in a folder named by the featurizer and its
version, so it is never outdated. Computing needs pymatgen and numpy, not torch; features from an
archive are read without pymatgen.
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

MIN_CRYSTALS_FOR_PARALLEL = 100  # for fewer, starting processes takes longer than it saves


class Features(Protocol):
    """The features of one crystal, which can be saved as plain arrays."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""


FeaturesT = TypeVar("FeaturesT", bound=Features)


@dataclass(frozen=True)
class Featurizer(Generic[FeaturesT]):
    """Computes the features of a crystal.

    Attributes:
        kind: what the features are, in the plural (``graphs``); also the name of the cache folder.
        version: must change whenever the features of a crystal change.
        build: crystal -> features; call ``compute`` instead, which converts its errors.
        from_arrays: the inverse of ``to_arrays``; raises KeyError if an array is missing.
    """

    kind: str
    version: str
    build: Callable[[Crystal], FeaturesT]
    from_arrays: Callable[[Arrays], FeaturesT]

    @property
    def name(self) -> str:
        """Kind and version, such as ``graphs/v1``."""
        return f"{self.kind}/{self.version}"

    def compute(self, crystal: Crystal) -> FeaturesT:
        """Compute the features of a crystal. Raises CrystalError if that fails."""
        with crystal_errors():
            return self.build(crystal)

    def featurize(self, crystal: Crystal) -> FeaturesT:
        """The features that the crystal has from an archive; otherwise computed, without cache.

        Raises CrystalError if computing fails, and DatasetError if the archive holds the features
        of another featurizer.
        """
        if not crystal.features:
            return self.compute(crystal)
        if self.name not in crystal.features:
            raise DatasetError(
                f"The archive holds {', '.join(crystal.features)}, but {self.name} is needed: "
                "write a new archive with python -m entrypoints.prepare, with this version of the "
                "code and for these weights."
            )
        return self.from_arrays(crystal.features[self.name])

    def require_version(self, version: str) -> None:
        """Raise ValueError where a model was trained on features of another version."""
        if version != self.version:
            raise ValueError(
                f"The model was trained on {self.kind} of version {version}; this code makes "
                f"version {self.version}. Load it with the code that trained it, or train it again."
            )

    def cache_path(self, crystal: Crystal) -> Path:
        """The file that caches the crystal's features."""
        name = crystal.content_hash
        return cache_dir() / self.name / name[:2] / f"{name}.npz"


def featurize(
    featurizer: Featurizer[FeaturesT],
    crystals: Sequence[Crystal],
    *,
    workers: int = 0,
    quiet: bool = False,
) -> tuple[dict[str, FeaturesT], list[Reject]]:
    """The features of crystals: from their archive, from the cache, or computed in parallel.

    Args:
        workers: number of processes; 0 for one per core.
        quiet: show no progress bar.

    Returns the features by crystal id, and a reject for each crystal that failed. Raises
    DatasetError if an archive holds the features of another featurizer.
    """
    features = {
        crystal.id: featurizer.featurize(crystal) for crystal in crystals if crystal.features
    }
    crystals = [crystal for crystal in crystals if crystal.id not in features]
    if not crystals:
        return features, []
    from joblib import Parallel, delayed

    paths = [featurizer.cache_path(crystal) for crystal in crystals]
    missing = [job for job in zip(crystals, paths, strict=True) if not job[1].is_file()]
    processes = workers or -1 if len(missing) > MIN_CRYSTALS_FOR_PARALLEL else 1
    run = Parallel(n_jobs=processes, return_as="generator")
    built = run(delayed(_build_entry)(featurizer, crystal, path) for crystal, path in missing)
    bar = tqdm(
        built, total=len(missing), desc=featurizer.kind, unit="crystal", disable=quiet or None
    )
    reasons = {path: reason for path, reason in bar if reason}
    rejects = []
    for crystal, path in zip(crystals, paths, strict=True):
        if path in reasons:
            rejects.append(Reject(crystal.id, reasons[path]))
        else:
            features[crystal.id] = _read_entry(featurizer, crystal, path)
    return features, rejects


def featurize_all(
    featurizer: Featurizer[FeaturesT], crystals: Sequence[Crystal], *, quiet: bool = False
) -> dict[str, FeaturesT]:
    """The features of all crystals by id; raises CrystalError for the first that fails."""
    features, rejects = featurize(featurizer, crystals, quiet=quiet)
    if rejects:
        raise CrystalError(f"{rejects[0].name} cannot be used: {rejects[0].reason}")
    return features


def _read_entry(featurizer: Featurizer[FeaturesT], crystal: Crystal, path: Path) -> FeaturesT:
    """Read a cache entry; a damaged one (full disk, crash) is computed again."""
    try:
        with np.load(path) as arrays:
            return featurizer.from_arrays(dict(arrays))
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
    _build_entry(featurizer, crystal, path)
    with np.load(path) as arrays:
        return featurizer.from_arrays(dict(arrays))


def _build_entry(
    featurizer: Featurizer[FeaturesT], crystal: Crystal, path: Path
) -> tuple[Path, str]:
    """Compute and cache one entry; returns its path, and the error message or an empty string."""
    try:
        features = featurizer.compute(crystal)
    except CrystalError as error:
        return path, str(error)
    with atomic_write(path) as file:
        np.savez(file, **features.to_arrays())  # type: ignore[arg-type]
    return path, ""
