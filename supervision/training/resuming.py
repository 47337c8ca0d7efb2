"""Where a training keeps its state, and which earlier one it carries on."""

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
    every: int = 100,
    known: Callable[[str], bool] = lambda run: True,
    claim: Callable[[Path], None] = lambda folder: None,
) -> Checkpoints:
    """The checkpoints of a new training, or of the one that it carries on.

    Args:
        identity: all that must be equal for two running_trainings to be the same.
        folder: where the user wants them; empty: a place of our own in the cache.
        resume: ``auto`` (an unfinished one of equal identity, if there is one), ``never``, or the
            folder of the one that is meant.
        run: under which id the tracker knows a new training.
        known: whether the tracker still has the unfinished run of this id.
        claim: called of a folder before anything in it is read or changed; may raise.

    Raises CheckpointError, saying what to do, where a training cannot be carried on that should
    be, or where another one's, unfinished, would be overwritten.
    """
    if resume not in (AUTO, NEVER):
        path = Path(resume).expanduser()
        if not path.is_dir():
            raise CheckpointError(f"There is no checkpoint folder {path}.")
        claim(path)
        return Checkpoints(path, identity, run, every, resume=True)
    if folder:
        path = Path(folder).expanduser()
        claim(path)
        going_on = resume == AUTO and is_unfinished(path)
        found = Checkpoints(path, identity, run, every, resume=going_on)
        if going_on and not known(found.run):
            raise CheckpointError(
                f"{folder} holds an unfinished training of run {found.run}, which is not an "
                "unfinished run of this tracking store; name another checkpoint_dir."
            )
        return found
    text = json.dumps(dict(identity), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    for path in _earlier(digest) if resume == AUTO else ():
        claim(path)
        try:
            found = Checkpoints(path, identity, every=every, resume=True)
        except CheckpointError as error:
            print(f"{error} It is left alone.", flush=True)
            continue
        if known(found.run):
            return found
    path = own_folder() / f"{digest}-{(run or uuid4().hex)[:8]}"
    claim(path)
    return Checkpoints(path, identity, run, every)


def _earlier(digest: str) -> list[Path]:
    """Unfinished running_trainings of one identity in the cache, the newest first."""
    found = [path for path in own_folder().glob(f"{digest}-*") if is_unfinished(path)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def own_folder() -> Path:
    """Below it are the folders of running_trainings that named none."""
    return cache_dir() / "checkpoints"
