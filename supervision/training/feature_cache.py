"""Features of a frozen backbone that running_trainings share, kept in a folder of the cache.

Trials of a study read the same pictures or graphs through the same backbone before anything of it
moves. The first that needs its features works them out and others wait for it; where it is killed,
the next one goes on from what it had. They are read where they lie, so many processes hold them
once.
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

UNREAD = 7 * 24 * 3600  # seconds after which features that nobody has read are given up
NAME = "features"


@dataclass(frozen=True)
class FeatureCache:
    """The features of one backbone.

    Attributes:
        folder: where they are kept.
        identity: all that they hang on, beside the samples.
    """

    folder: Path
    identity: Mapping[str, str]

    def of(
        self, samples: Sequence[Any], make: Callable[[PartialResults], torch.Tensor]
    ) -> torch.Tensor:
        """Features of samples, ``[n, f]``, not to be written to; ``make`` works them out.

        It is called where they are not there yet, by one process at a time.
        """
        told = json.dumps([dict(self.identity), list(samples)], sort_keys=True)
        path = self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(path.with_suffix(".lock")):
            with suppress(FileNotFoundError, SafetensorError):
                return _read(path)
            shelf = PartialResults(self.folder, path.stem, self.identity)
            features = make(shelf)
            with atomic_write(path) as file:
                save_file({NAME: features.contiguous()}, file.name)
            shelf.clear()
            return _read(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another process works out the same frozen features; waiting.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> torch.Tensor:
    features = load_file(path)[NAME]
    os.utime(path)
    return features


def remove_unread(folder: Path) -> None:
    """Remove what nobody has read for a week."""
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and time.time() - path.stat().st_mtime > UNREAD:
                path.unlink()
