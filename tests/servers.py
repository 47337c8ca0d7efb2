"""A real MLflow server of a model, and requests to it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest


def free_port():
    """A port of this machine that no one listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(model, environment, log, *, manager="local", seconds=120):
    """A real ``mlflow models serve`` process, started in another folder; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    command += ["--env-manager", manager, "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    with starting(command, f"{url}/ping", environment, log, seconds=seconds):
        yield url


@contextmanager
def starting(command, health, environment, log, *, seconds=120):
    """A server, started in another folder, that answers at the address ``health``."""
    process = subprocess.Popen(
        command, cwd="/", env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(2 * seconds):
            if process.poll() is not None:
                pytest.fail("the server did not start: " + log.read_text()[-2000:])
            try:
                urllib.request.urlopen(health, timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the server did not start: " + log.read_text()[-2000:])
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def ask(url, body, content_type="application/json"):
    """The status and the answer of one request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{url}/invocations", data=data, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def rows(*cifs):
    """The body of a request for these CIF texts."""
    return {"dataframe_split": {"columns": ["cif"], "data": [[c] for c in cifs]}}
