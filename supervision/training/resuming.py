"""Which unfinished training a new one resumes, and where its checkpoints are."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from supervision.runtime.files import cache_dir
from supervision.training.checkpoint import CheckpointError, Checkpoints, is_unfinished

AUTO, NEVER = "auto", "never"


def open_checkpoints(
    identity: Mapping[str, str],
    *,
    folder: str = "",
    resume: str = AUTO,
    run: str = "",
    save_every: int = 100,
    is_known: Callable[[str], bool] = lambda run: True,
    lock_folder: Callable[[Path], None] = lambda folder: None,
) -> Checkpoints:
    """The checkpoints of a new training, or of the unfinished one that it resumes.

    Args:
        identity: everything that must be equal for two trainings to be the same.
        folder: where the user wants them; empty: a folder of the cache.
        resume: ``auto`` (an unfinished training of equal identity, if there is one), ``never``, or
            the checkpoint folder of one.
        run: the id of a new training in the tracker.
        is_known: whether the tracker still has the unfinished run of this id.
        lock_folder: called with a folder before anything in it is read or changed; may raise.

    Raises CheckpointError, saying what to do, where the named training cannot be resumed, or where
    another unfinished one would be overwritten.
    """
    if resume not in (AUTO, NEVER):
        path = Path(resume).expanduser()
        if not path.is_dir():
            raise CheckpointError(f"There is no checkpoint folder {path}.")
        lock_folder(path)
        return Checkpoints(path, identity, run, save_every, resume=True)
    if folder:
        path = Path(folder).expanduser()
        lock_folder(path)
        resuming = resume == AUTO and is_unfinished(path)
        found = Checkpoints(path, identity, run, save_every, resume=resuming)
        if resuming and not is_known(found.run):
            raise CheckpointError(
                f"{folder} holds an unfinished training of run {found.run}, which is not an "
                "unfinished run of this tracking store; name another checkpoint_dir."
            )
        return found
    text = json.dumps(dict(identity), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    for path in _unfinished(digest) if resume == AUTO else ():
        lock_folder(path)
        try:
            found = Checkpoints(path, identity, save_every=save_every, resume=True)
        except CheckpointError as error:
            print(f"{error} It is left unchanged.", flush=True)
            continue
        if is_known(found.run):
            return found
    path = checkpoints_dir() / f"{digest}-{(run or uuid4().hex)[:8]}"
    lock_folder(path)
    return Checkpoints(path, identity, run, save_every)


def _unfinished(digest: str) -> list[Path]:
    """Unfinished trainings of one identity in the cache, the newest first."""
    found = [path for path in checkpoints_dir().glob(f"{digest}-*") if is_unfinished(path)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def checkpoints_dir() -> Path:
    """The folder of the cache with the checkpoints of trainings that named no folder."""
    return cache_dir() / "checkpoints"
