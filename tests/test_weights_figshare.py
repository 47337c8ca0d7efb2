"""Weights from figshare, from a local server with the same API."""

import hashlib
import io
import json
import pickle
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from supervision.models.graph.backbone import create_backbone, load_pretrained
from supervision.models.weights import (
    GraphWeights,
    WeightsError,
    catalogue,
    get_weights,
    sources,
)
from supervision.models.weights.convert import alignn_from_checkpoint
from supervision.models.weights.sources import Figshare

SHAPE = {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}
CONFIG = {"model": {"name": "alignn"} | SHAPE}


def checkpoint(state):
    """The bytes of a .pt file."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def archive(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def original():
    torch.manual_seed(0)
    return create_backbone("alignn", "pure", CONFIG)


@pytest.fixture
def figshare(monkeypatch, own_cache, original):
    """Serves file 7 of article 3; tests change its content and its md5."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = server.responses.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(server.length or len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.length = None

    def serve(content, md5=None):
        md5 = md5 or hashlib.md5(content).hexdigest()
        files = [{"id": 6, "computed_md5": "0" * 32}, {"id": 7, "computed_md5": md5}]
        server.responses = {"/files/7": content, "/v2/articles/3/files": json.dumps(files).encode()}

    server.serve = serve
    members = {
        "run/config.json": json.dumps(CONFIG),
        "run/checkpoint_300.pt": checkpoint({"model": original.state_dict(), "epoch": 300}),
        "run/checkpoint_2.pt": b"an earlier one",
    }
    serve(archive(members))
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(sources, "FIGSHARE_FILES", f"{url}/files")
    monkeypatch.setattr(sources, "FIGSHARE_API", f"{url}/v2")
    entry_sources = (Figshare(7, 3, alignn_from_checkpoint),)
    entry = GraphWeights("stand_in", "alignn", "none", entry_sources)
    monkeypatch.setattr(catalogue, "WEIGHTS", catalogue.WEIGHTS | {"stand_in": entry})
    yield server
    server.shutdown()
    server.server_close()


def test_the_last_checkpoint_loads_strictly_into_its_architecture(figshare, original):
    fetched = get_weights("stand_in", "graph")
    assert fetched.source == "figshare file 7"
    assert fetched.config == CONFIG
    torch.manual_seed(1)
    net = create_backbone("alignn", "pure", fetched.config)
    load_pretrained(net, fetched)
    for name, tensor in original.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor), name


def test_a_second_call_reads_the_cache(figshare):
    get_weights("stand_in", "graph")
    figshare.responses = {}
    fetched = get_weights("stand_in", "graph")
    assert fetched.source == "cache, downloaded from figshare file 7"
    assert fetched.config == CONFIG


def test_the_best_model_is_preferred_to_checkpoints(figshare):
    best = {"fc.bias": torch.arange(3.0)}
    members = {"best_model.pt": checkpoint(best), "checkpoint_9.pt": checkpoint({})}
    figshare.serve(archive(members))
    assert get_weights("stand_in", "graph").state_dict()["fc.bias"].tolist() == [0, 1, 2]


class MaliciousObject:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    ("content", "md5", "message"),
    [
        (b"no archive", None, "File is not a zip file"),
        (archive({"readme.txt": b""}), None, "contains no checkpoint: readme.txt"),
        (archive({"best_model.pt": b"\x80"}), None, "damaged, or contains more than tensors"),
        (archive({"best_model.pt": pickle.dumps(MaliciousObject())}), None, "more than tensors"),
        (archive({}), "f" * 32, "not ffffffff"),
    ],
    ids=["no zip", "no checkpoint", "damaged", "malicious", "another md5"],
)
def test_invalid_archives_are_refused_and_leave_no_file(
    figshare, own_cache, capsys, content, md5, message
):
    figshare.serve(content, md5)
    with pytest.raises(WeightsError, match=rf"Tried: figshare file 7: .*{message}"):
        get_weights("stand_in", "graph")
    assert not list((own_cache / "weights").iterdir())
    assert "unpickled" not in capsys.readouterr().out


def test_a_file_that_is_not_in_the_article_is_refused(figshare):
    figshare.responses["/v2/articles/3/files"] = b"[]"
    with pytest.raises(WeightsError, match="article 3 lists no file 7"):
        get_weights("stand_in", "graph")


def test_an_incomplete_download_is_refused(figshare):
    figshare.length = 10**6
    with pytest.raises(WeightsError, match="Tried: figshare file 7: "):
        get_weights("stand_in", "graph")


def test_a_download_above_the_size_limit_is_refused(figshare, monkeypatch):
    monkeypatch.setattr(sources, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(WeightsError, match="is larger than"):
        get_weights("stand_in", "graph")


def test_an_archive_that_unpacks_above_the_size_limit_is_refused(figshare, monkeypatch):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("best_model.pt", bytes(10**6))
    figshare.serve(file.getvalue())
    monkeypatch.setattr(sources, "MAX_ARCHIVE_BYTES", 10**5)
    with pytest.raises(WeightsError, match="unpacks to more than 100000 bytes"):
        get_weights("stand_in", "graph")


def test_weights_of_another_model_family_are_unknown():
    with pytest.raises(WeightsError, match="'alignn_ff' is not one of auto, none, dinov3_vitb16"):
        get_weights("alignn_ff")
    with pytest.raises(WeightsError, match="is not one of auto, none, alignn_ff"):
        get_weights("dinov3_vitb16", "graph")


def test_checking_figshare_reads_only_the_first_bytes(figshare, own_cache):
    file = Figshare(7, 3, alignn_from_checkpoint)
    file.probe()
    figshare.serve(b"<html>a challenge</html>")
    with pytest.raises(WeightsError, match="files/7 does not return a zip archive"):
        file.probe()
    with pytest.raises(OSError, match="404"):
        Figshare(8, 3, alignn_from_checkpoint).probe()
    assert not own_cache.exists()
