"""A PostgreSQL server of the test's own, started by an ordinary user (it refuses root)."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian's


def program(name):
    """A program of PostgreSQL's; None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, PLACES)]))


def skip_without() -> None:
    """Skip a test where PostgreSQL is not installed; where changes are judged it has to be."""
    if not program("initdb") and "CI" not in os.environ:
        pytest.skip("PostgreSQL is not installed here")


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of an empty database, served until the end of the block."""
    user = "nobody" if os.geteuid() == 0 else None
    data, sockets = folder / "data", folder / "sockets"
    for path in (data, sockets):
        path.mkdir(parents=True)
        if user:
            shutil.chown(path, user)
    for path in (folder, *folder.parents):
        if user and path.owner() == pwd.getpwuid(os.geteuid()).pw_name and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)  # or the server does not get to its folder
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    subprocess.run(
        [program("initdb"), "-D", data, "-U", "test", "-A", "trust", "--no-sync"],
        check=True, **quiet,
    )  # fmt: skip
    control = [program("pg_ctl"), "-D", str(data), "-w"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {sockets} -c fsync=off"
    subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
    try:
        yield f"postgresql+psycopg2://test@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
