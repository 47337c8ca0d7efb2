"""Real server processes of a model, the app's and MLflow's, and clients that ask them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import psutil

from supervision.runtime.version import ROOT

PATHS = {"app": "/predict", "mlflow": "/invocations"}  # that predict, by kind of server
HOST = "127.0.0.1"
JSON = "application/json"
STOP_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A running server of one of the kinds in ``PATHS``."""

    kind: str
    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def connect(self, timeout_seconds: float = 600) -> HTTPConnection:
        """A connection, which is kept open between requests."""
        return HTTPConnection(HOST, self.port, timeout=timeout_seconds)

    @property
    def resident_bytes(self) -> int:
        """The memory of its processes."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes)


class Reply(NamedTuple):
    """What a server said to one request; ``content`` is its body, as it was sent."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float


def post(connection: HTTPConnection, path: str, body: bytes, content_type: str = JSON) -> Reply:
    """Send a body and read the whole reply."""
    start = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    content = response.read()
    seconds = time.perf_counter() - start
    return Reply(response.status, dict(response.headers), content, seconds)


@contextmanager
def serving(
    model: str,
    environment: Mapping[str, str],
    log: Path,
    *,
    kind: str = "mlflow",
    options: Sequence[str] = (),
    seconds: float = 120,
) -> Iterator[Server]:
    """A server process of a model, ready to answer, that is ended afterwards.

    Args:
        log: the file for what it prints.
        options: more options of its command.
        seconds: how long it may take to start.

    Raises RuntimeError with the end of the log where it does not start.
    """
    port = free_port()
    folder = ROOT if kind == "app" else Path("/")  # a served model carries its code
    command = [*_command(kind, model, port), *options]
    with starting(command, port, environment, log, folder=folder, seconds=seconds) as process:
        yield Server(kind, port, process)


@contextmanager
def starting(
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str],
    log: Path,
    *,
    folder: Path = Path("/"),
    seconds: float = 120,
) -> Iterator[psutil.Process]:
    """A server process that has answered at /health of a port, and that is ended afterwards.

    Raises RuntimeError with the end of the log where it does not start.
    """
    with log.open("w") as output:
        process = psutil.Popen(
            command, cwd=folder, env=dict(environment), stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + seconds
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(STOP_SECONDS)


def free_port() -> int:
    """A port of this machine that no one listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _command(kind: str, model: str, port: int) -> list[str]:
    module = {
        "app": ["entrypoints.app", "--model", model],
        "mlflow": ["mlflow", "models", "serve", "-m", model, "--env-manager", "local"],
    }
    return [sys.executable, "-m", *module[kind], "--port", str(port)]


def _is_ready(port: int) -> bool:
    with closing(HTTPConnection(HOST, port, timeout=2)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


def keep_asking(
    server: Server, bodies: Sequence[bytes], *, clients: int, seconds: float
) -> Iterator[tuple[int, Reply]]:
    """What clients get that ask without a pause: the number of the body, and the reply.

    Each client has a connection of its own, begins at another body, and goes through all of them in
    their order, at least the first. After ``seconds`` no other request begins; those that run are
    waited for.
    """
    deadline = time.perf_counter() + seconds

    def ask(client: int) -> list[tuple[int, Reply]]:
        replies: list[tuple[int, Reply]] = []
        number = client * len(bodies) // clients
        with closing(server.connect()) as connection:
            while not replies or time.perf_counter() < deadline:
                replies.append((number, post(connection, PATHS[server.kind], bodies[number])))
                number = (number + 1) % len(bodies)
        return replies

    with ThreadPoolExecutor(clients) as pool:
        for replies in pool.map(ask, range(clients)):
            yield from replies
