"""The app's real server with broken requests and clients: one sentence each, and it goes on."""

import asyncio
import json
import os
import time
from contextlib import ExitStack, closing
from itertools import repeat
from select import select

import pytest
from servers import ask, rows, serving

from benchmarks.servers import JSON, PATHS
from supervision.data.datasets import load_dataset
from supervision.web import limits

pytestmark = pytest.mark.slow

PATH = PATHS["app"]
GOOD = rows(*(c.cif for c in load_dataset("classics").crystals[:2]))
LARGE = limits.MAX_BODY_BYTES + 1_000_000
PART = b" " * 1_000_000
PATIENCE_SECONDS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    with serving("released:fast", os.environ, log, kind="app") as started:
        yield started
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def answer(server):
    """The answer to the good request."""
    status, found = ask(server, GOOD)
    assert status == 200
    return found


@pytest.fixture(autouse=True)
def still_answers(server, answer):
    """After each test the server answers as before."""
    yield
    assert ask(server, GOOD) == (200, answer)


def send(server, body, headers):
    """Status, headers and content of the reply to a body: bytes, or parts sent as chunks."""
    with closing(server.connect(PATIENCE_SECONDS)) as connection:
        connection.request("POST", PATH, body, headers)
        return read(connection)


def read(connection):
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read().decode()


def check_refusal(reply, status):
    """One sentence in a JSON object, which shows nothing of the code."""
    found, headers, text = reply
    assert (found, headers.get_content_type()) == (status, JSON), text
    (sentence,) = json.loads(text).values()
    assert sentence.endswith(".") and "\n" not in sentence
    assert not any(word in sentence for word in ("Traceback", "Error", "codec", 'File "'))


# --- bodies

TABLE = b'{"dataframe_split": {"columns": ["cif"], "data": [[%s]]}}'
BROKEN = {
    "empty": b"",
    "half": json.dumps(GOOD).encode()[:-3],
    "lists 100,000 deep": b"[" * 100_000,
    "objects 100,000 deep": b'{"a":' * 100_000,
    "a value 100,000 deep": TABLE % (b"[" * 100_000 + b"]" * 100_000),
    "an integer of 5,000 digits": TABLE % (b"1" * 5000),
    "broken UTF-8": TABLE % b'"data_\xff"',
    "not a number": TABLE % b"NaN",
    "no table": b'"crystal"',
    "a table of nothing": b'{"dataframe_split": null}',
    "bytes of another kind": bytes(range(256)),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_body_is_refused_in_one_sentence(server, name):
    check_refusal(send(server, BROKEN[name], {"Content-Type": JSON}), 400)


ODD = {
    "half of a character in a name": {"id": "\ud800", "cif": "data_x"},
    "half of a character in a text": {"cif": "data_x\ud800"},
    "half of a character in a formula": {"formula": "Nb\ud800"},
    "a number as a text": {"cif": 7},
    "an infinite name": {"id": 1e300, "cif": "data_x"},
    "a list as a formula": {"formula": ["Nb"]},
    "brackets without end": {"formula": "(" * 100_000},
    "a formula of 5,000 digits": {"formula": "Nb" + "9" * 5000},
}


@pytest.mark.parametrize("name", list(ODD))
def test_a_row_of_an_odd_kind_costs_no_other(server, answer, name):
    good = {"cif": load_dataset("classics").crystals[0].cif}
    status, found = ask(server, {"dataframe_records": [good, ODD[name]]})
    assert status == 200, found
    assert found["predictions"][0] == answer["predictions"][0]
    assert found["predictions"][1]["error"].endswith(".")


@pytest.mark.parametrize("content_type", [None, "text/plain", "text/csv", "multipart/form-data"])
def test_a_body_of_another_type_is_refused(server, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    check_refusal(send(server, json.dumps(GOOD).encode(), headers), 415)


def test_a_large_body_is_refused(server):
    check_refusal(send(server, b" " * LARGE, {"Content-Type": JSON}), 413)


def test_a_large_body_without_a_length_is_refused(server):
    parts = repeat(PART, LARGE // len(PART))
    check_refusal(send(server, parts, {"Content-Type": JSON}), 413)


def test_a_body_without_end_is_cut_off_and_uses_no_memory(server):
    before, sent = server.resident_bytes, 0

    def parts():
        nonlocal sent
        while True:
            sent += len(PART)
            yield PART

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        send(server, parts(), {"Content-Type": JSON})
    assert limits.MAX_BODY_BYTES < sent < 3 * limits.MAX_RECEIVED_BYTES
    assert server.resident_bytes < before + 4 * limits.MAX_BODY_BYTES


# --- clients


def begin(connection, content_length=1000):
    """Send the headers of a request, and the first byte of its body."""
    connection.putrequest("POST", PATH)
    connection.putheader("Content-Type", JSON)
    connection.putheader("Content-Length", str(content_length))
    connection.endheaders(b"{")


def test_a_request_above_the_limit_is_told_to_come_later(server):
    deadline = time.monotonic() + PATIENCE_SECONDS
    with ExitStack() as stack:
        for _ in range(limits.MAX_REQUESTS):
            begin(stack.enter_context(closing(server.connect())))
        reply = send(server, b"{}", {"Content-Type": JSON})
        while reply[0] != 503 and time.monotonic() < deadline:  # not all have been accepted
            reply = send(server, b"{}", {"Content-Type": JSON})
    check_refusal(reply, 503)
    assert int(reply[1]["Retry-After"]) > 0
    while ask(server, GOOD)[0] == 503 and time.monotonic() < deadline:
        time.sleep(0.05)


def test_clients_that_leave_during_their_prediction_cost_nothing(server, answer):
    long = json.dumps(rows(*[load_dataset("classics").crystals[3].cif] * 256)).encode()
    for _ in range(2 * limits.MAX_REQUESTS):
        with closing(server.connect()) as connection:
            connection.request("POST", PATH, long, {"Content-Type": JSON})
    began = time.monotonic()
    while ask(server, GOOD) != (200, answer):
        assert time.monotonic() < began + PATIENCE_SECONDS


def test_clients_that_leave_before_their_body_is_sent_are_forgotten(server):
    for _ in range(2 * limits.MAX_REQUESTS):
        with closing(server.connect()) as connection:
            begin(connection)
    assert ask(server, GOOD)[0] in (200, 503)


@pytest.mark.long
def test_a_body_that_trickles_is_given_up(server):
    with closing(server.connect(PATIENCE_SECONDS)) as connection:
        begin(connection)
        while not select([connection.sock], [], [], 1)[0]:  # until there is a reply
            connection.sock.send(b" ")
        check_refusal(read(connection), 408)


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BODY_SECONDS", 0.05)
    sent = []

    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", JSON.encode())]}
    asyncio.run(limits.RequestLimits(None)(scope, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"].endswith(".")
