"""docs/nginx.conf, run by a real nginx before the app and before a stand-in of MLflow's server."""

import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from servers import rows, serving

from benchmarks.servers import free_port
from supervision.data.datasets.classics import load_classics
from supervision.runtime.version import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("nginx") and not os.environ.get("CI"), reason="nginx is not installed"
    ),
]

CONFIG = (ROOT / "docs" / "nginx.conf").read_text()
NAME, PASSWORD = "someone", "a password"
LOGIN = {"Authorization": "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()}
GOOD = json.dumps(rows(load_classics()[0].cif)).encode()


class Echo(BaseHTTPRequestHandler):
    """Answers with the path and the headers that it got."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        content = json.dumps({"path": self.path, **self.headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def echoing():
    """The port of a server that says what it got."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def configured(ports):
    """The file with these ports."""
    config = CONFIG
    for old, port in ports.items():
        assert config.count(old) == 1, old
        config = config.replace(old, old.replace(old.split()[-1].split(":")[-1].rstrip(";"), port))
    return config


def commands():
    """Those that the file names, for localhost, with a password, and nginx as this process."""
    lines = [line.removeprefix("#   ") for line in CONFIG.splitlines() if line.startswith("#   ")]
    return (
        "\n".join(lines)
        .replace("supervision.example.org", "localhost")
        .replace("openssl passwd -6", f"openssl passwd -6 '{PASSWORD}'")
        .replace("name:%s", f"{NAME}:%s")
        .replace("nginx -p", "exec nginx -g 'daemon off; user root;' -p")
    )


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """The ports of nginx for HTTP and HTTPS, and the folder that it runs in."""
    folder = tmp_path_factory.mktemp("nginx")
    http, https = free_port(), free_port()
    with serving("released:fast", os.environ, folder / "log", kind="app") as app, echoing() as echo:
        ports = {
            "listen 80;": http, "listen 443": https, "server 127.0.0.1:8000;": app.port,
            "server 127.0.0.1:5001;": echo,
        }  # fmt: skip
        (folder / "docs").mkdir()
        (folder / "docs/nginx.conf").write_text(
            configured({old: str(port) for old, port in ports.items()})
        )
        process = subprocess.Popen(
            ["bash", "-e", "-c", commands()], cwd=folder, stderr=(folder / "errors").open("w")
        )
        try:
            wait_for(http, process, folder)
            yield http, https, folder
        finally:
            process.terminate()
            process.wait(10)


def wait_for(port, process, folder):
    for _ in range(100):
        assert process.poll() is None, (folder / "errors").read_text()
        with closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            try:
                connection.request("GET", "/")
                connection.getresponse()
                return
            except OSError:
                time.sleep(0.05)
    pytest.fail("nginx did not start")


def ask(proxy, method, path, body=None, headers=LOGIN):
    """Status, headers and content of an answer over HTTPS, with the certificate checked."""
    _, https, folder = proxy
    context = ssl.create_default_context(cafile=str(folder / "tc.crt"))
    with closing(HTTPSConnection("localhost", https, timeout=60, context=context)) as connection:
        kind = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body, kind | headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_http_is_sent_to_https(proxy):
    with closing(HTTPConnection("localhost", proxy[0], timeout=10)) as connection:
        connection.request("GET", "/model?x=1")
        answer = connection.getresponse()
        assert answer.status == 308
        assert answer.headers["Location"] == "https://localhost/model?x=1"


@pytest.mark.parametrize("path", ["/", "/predict", "/invocations", "/static/page.css"])
def test_nothing_is_answered_without_the_password(proxy, path):
    assert ask(proxy, "GET", path, headers={})[0] == 401
    wrong = base64.b64encode(f"{NAME}:wrong".encode()).decode()
    assert ask(proxy, "GET", path, headers={"Authorization": f"Basic {wrong}"})[0] == 401


def test_the_page_and_predictions_pass(proxy):
    status, headers, page = ask(proxy, "GET", "/")
    assert status == 200 and b"SuperVision" in page
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Strict-Transport-Security"]
    status, _, content = ask(proxy, "POST", "/predict", GOOD)
    assert status == 200
    assert json.loads(content)["predictions"][0]["error"] == ""


def test_the_largest_body_passes_and_a_larger_one_is_refused(proxy):
    largest = b" " * (8 * 2**20 - len(GOOD) - 1) + GOOD
    status, _, content = ask(proxy, "POST", "/predict", largest)
    assert status == 413 and json.loads(content)["error"].endswith(".")  # MB here, MiB in nginx
    assert ask(proxy, "POST", "/predict", b" " * 7_900_000 + GOOD)[0] == 200
    assert ask(proxy, "POST", "/predict", b" " * (8 * 2**20) + GOOD)[0] == 413


def test_of_mlflows_server_predictions_alone_can_be_reached(proxy):
    status, _, content = ask(proxy, "POST", "/invocations", GOOD)
    got = json.loads(content)
    assert status == 200 and got["path"] == "/invocations"
    assert got["X-Forwarded-For"] == "127.0.0.1" and got["X-Forwarded-Proto"] == "https"
    assert len(got["X-Request-ID"]) == 32
    assert "Authorization" not in got
    for path in ("/docs", "/openapi.json", "/invocations/x"):
        status, _, content = ask(proxy, "GET", path)
        assert status == 404 and "error" in json.loads(content)  # of the app


def test_one_address_is_slowed_down_and_then_refused(proxy):
    found = []

    def get():
        found.append(ask(proxy, "GET", "/health")[0])

    threads = [threading.Thread(target=get) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) <= {200, 429, 503} and 200 in found and len(set(found)) > 1
