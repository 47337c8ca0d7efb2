"""Where a study's trials are kept: Optuna's journal file, SQLite, PostgreSQL."""

import random
import re
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.exc import SQLAlchemyError

TRIES = 3  # to open a database before one that counts
ALIVE = {"pool_pre_ping": True}  # a connection that the server has dropped is made anew


def open_storage(place: str) -> BaseStorage:
    """A journal (a file's path), or a database (an SQLAlchemy URL).

    Raises ValueError where it cannot be reached.
    """
    try:
        if "://" in place:
            return _open_database(place)
        path = Path(place).expanduser().resolve()
        if not path.parent.is_dir():
            raise ValueError(f"storage={place}: there is no folder {path.parent}; make it first.")
        return _open_journal(str(path))
    except (SQLAlchemyError, OSError, ImportError) as error:
        reason = str(error).splitlines()[0]
        said = re.sub(r":[^:@/]+@", ":***@", place)  # a password
        raise ValueError(f"The storage {said} cannot be used: {reason}") from error


def _open_database(place: str) -> RDBStorage:
    """Of several that find it empty at once, all but one fail to make its tables, once."""
    for _ in range(TRIES):
        with suppress(SQLAlchemyError):
            return RDBStorage(place, engine_kwargs=ALIVE)
        time.sleep(random.random())
    return RDBStorage(place, engine_kwargs=ALIVE)


def _open_journal(path: str) -> JournalStorage:
    """A line that somebody was killed over as it was written would make all of it unreadable."""
    lock = JournalFileSymlinkLock(path)  # of a relative path it would point nowhere
    lock.acquire()
    try:
        with open(path, "ab+") as file:
            file.seek(0)
            written = file.read()
            file.truncate(written.rfind(b"\n") + 1)
    finally:
        lock.release()
    return JournalStorage(JournalFileBackend(path, lock_obj=lock))


def guard_of(place: str) -> AbstractContextManager:
    """What makes changes of a storage one at a time, where it does not do so by itself.

    SQLite has no locks on rows: there, Optuna lets two processes take the same trial.
    """
    if not place.startswith("sqlite:///"):
        return nullcontext()
    return FileLock(place.removeprefix("sqlite:///") + ".lock")
