"""Opens the storage of a study: an Optuna journal file, SQLite or PostgreSQL."""

import random
import re
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.exc import SQLAlchemyError

OPEN_RETRIES = 3
ENGINE_OPTIONS = {"pool_pre_ping": True}  # reconnects when the server has closed a connection


def open_storage(location: str) -> BaseStorage:
    """Open a journal (a file path) or a database (an SQLAlchemy URL).

    Raises ValueError if the storage cannot be used.
    """
    try:
        if "://" in location:
            return _open_database(location)
        path = Path(location).expanduser().resolve()
        if not path.parent.is_dir():
            raise ValueError(
                f"storage={location}: there is no folder {path.parent}; create it first."
            )
        return _open_journal(str(path))
    except (SQLAlchemyError, OSError, ImportError) as error:
        reason = str(error).splitlines()[0]
        shown = re.sub(r":[^:@/]+@", ":***@", location)  # hides a password
        raise ValueError(f"The storage {shown} cannot be used: {reason}") from error


def _open_database(url: str) -> RDBStorage:
    """Open a database, with retries.

    When several processes open an empty database at once, one creates the tables and the others
    fail.
    """
    for _ in range(OPEN_RETRIES):
        with suppress(SQLAlchemyError):
            return RDBStorage(url, engine_kwargs=ENGINE_OPTIONS)
        time.sleep(random.random())
    return RDBStorage(url, engine_kwargs=ENGINE_OPTIONS)


def _open_journal(path: str) -> JournalStorage:
    """Open a journal after removing an incomplete last line.

    A process that is killed while it writes leaves such a line, and Optuna cannot read the file.
    """
    lock = JournalFileSymlinkLock(path)  # needs an absolute path: it creates a symbolic link
    lock.acquire()
    try:
        with open(path, "ab+") as file:
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()
    return JournalStorage(JournalFileBackend(path, lock_obj=lock))


def write_lock(location: str) -> AbstractContextManager:
    """A lock for changes of the storage; it does nothing if the storage has its own locks.

    SQLite has no row locks, and Optuna lets two processes claim the same trial there.
    """
    if not location.startswith("sqlite:///"):
        return nullcontext()
    return FileLock(location.removeprefix("sqlite:///") + ".lock")
