"""Features of a frozen backbone that several trainings share, in a folder of the cache.

Before anything of the backbone trains, all trials of a study read the same images or graphs with
it. The first trial computes the features and the others wait; where it is killed, the next one
continues from its partial results. The files are memory-mapped, so processes share one copy.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from supervision.runtime.files import atomic_write
from supervision.training.checkpoint import PartialResults

UNREAD_SECONDS = 7 * 24 * 3600  # features that nobody has read for so long are removed
TENSOR = "features"


@dataclass(frozen=True)
class FeatureCache:
    """The features of one backbone.

    Attributes:
        identity: everything that they depend on, besides the samples.
    """

    folder: Path
    identity: Mapping[str, str]

    def get(
        self, samples: Sequence[Any], compute: Callable[[PartialResults], torch.Tensor]
    ) -> torch.Tensor:
        """Features of samples, ``[n, f]``, read-only.

        ``compute`` is called where they are not cached yet, by one process at a time.
        """
        key = json.dumps([dict(self.identity), list(samples)], sort_keys=True)
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            with suppress(FileNotFoundError, SafetensorError):
                return _read(path)
            partial = PartialResults(self.folder, path.stem, self.identity)
            features = compute(partial)
            with atomic_write(path) as file:
                save_file({TENSOR: features.contiguous()}, file.name)
            partial.clear()
            return _read(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another process computes the same frozen features; waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> torch.Tensor:
    features = load_file(path)[TENSOR]
    os.utime(path)
    return features


def remove_unread(folder: Path) -> None:
    """Remove the features that nobody has read for a week."""
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and time.time() - path.stat().st_mtime > UNREAD_SECONDS:
                path.unlink()
