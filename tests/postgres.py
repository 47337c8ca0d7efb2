"""A PostgreSQL server for tests. It runs as an ordinary user, because it refuses root."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # of Debian


def program(name):
    """The path of a PostgreSQL program; None if it is not installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, FOLDERS)]))


def skip_without() -> None:
    """Skip a test if PostgreSQL is not installed, except in CI, where it must be installed."""
    if not program("initdb") and "CI" not in os.environ:
        pytest.skip("PostgreSQL is not installed")


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a server with an empty database; yields its URL and stops it after the block."""
    user = "nobody" if os.geteuid() == 0 else None
    data = folder / "data"
    data.mkdir(parents=True)
    if user:
        shutil.chown(data, user)
    for path in (folder, *folder.parents):
        if user and path.owner() == pwd.getpwuid(os.geteuid()).pw_name and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)  # the server's user must reach its folder
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def call(name: str, *arguments: str) -> None:
        with open(folder / f"{name}.log", "a+") as log:
            done = subprocess.run(
                [program(name), "-D", data, *arguments],
                user=user, stdout=log, stderr=log, check=False,
            )  # fmt: skip
            log.seek(0)
            assert done.returncode == 0, log.read()

    call("initdb", "-U", "test", "-A", "trust", "--no-sync")
    # No Unix socket: its path is limited to 107 characters, and a test's folder may be longer.
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    call("pg_ctl", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg2://test@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-w", "-m", "immediate", "stop")
