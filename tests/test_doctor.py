"""The doctor's checks with simulated faults, and the doctor command."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import joblib
import mlflow
import psutil
import pytest
import torch
from typer.testing import CliRunner

from entrypoints import doctor
from supervision import doctor as checkup
from supervision.doctor import BROKEN, CHECKS, FIX_CACHE, FIX_PACKAGES, OK, WARN, Check, Finding
from supervision.models.weights import ImageWeights
from supervision.models.weights import catalogue as table
from supervision.models.weights.catalogue import WEIGHTS
from supervision.runtime.files import sha256_of
from supervision.runtime.lock import TrainingLock
from supervision.runtime.memory import Memory
from supervision.training.checkpoint import FINISHED
from tracking import doctor as tracking

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
NAMES = [check.name for check in (*CHECKS, tracking.CHECK)]
PINS = "# what\ntorch==2.0  # a\ntimm==1.0.31  # b\n"
DEVELOPMENT_PINS = "ruff==0.1  # c\n"


@pytest.fixture
def full_cache(own_cache):
    """A cache with a file for every name, so that no source is contacted."""
    folder = own_cache / "weights"
    folder.mkdir(parents=True)
    for name in WEIGHTS:
        path = folder / f"{name}.safetensors"
        path.write_bytes(b"tensors")
        known = {"sha256": sha256_of(path), "source": "afar"}
        path.with_suffix(".json").write_text(json.dumps(known))
    return own_cache


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def named(name):
    """The finding of the check with this name."""
    (check,) = [check for check in CHECKS if check.name == name]
    return check.finding()


# --- the command


@pytest.mark.slow
def test_working_machine_exits_0_with_one_row_per_check(own_store, full_cache, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    done = CliRunner().invoke(doctor.app, [])
    assert done.exit_code == 0, done.output
    head, *lines, end = done.output.splitlines()
    assert [line[: doctor.NAME_COLUMNS].strip() for line in lines if line[0] != " "] == NAMES
    assert head.startswith("check") and end.startswith(f"{len(NAMES)} checks: 0 broken")
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.slow
def test_broken_checks_are_named_and_exit_1(full_cache, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('this timm is\\nno good')")
    (tmp_path / "peft.py").write_text("import no_such_thing")
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "MLFLOW_TRACKING_URI": f"http://me:secret@127.0.0.1:{closed_port()}",
        "no_proxy": "127.0.0.1",
        "TMPDIR": str(tmp_path),
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "entrypoints.doctor"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    broken = {x.split("  ")[0]: x for x in done.stdout.splitlines() if " broken  " in x}
    assert set(broken) == {"timm and peft", "tracking"}
    assert broken["timm and peft"].endswith("RuntimeError: this timm is no good")
    assert "does not answer" in broken["tracking"] and "secret" not in done.stdout
    assert f"-> {FIX_PACKAGES}" in done.stdout and f"-> {tracking.FIX_SERVER}" in done.stdout


def test_row_fits_the_terminal_and_keeps_every_word(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = doctor.row("disk", Finding(WARN, "a word " * 20 + "\nanother line", "do this " * 10))
    assert text.startswith("disk             warn    a word a word")
    assert all(len(line) <= 60 for line in text.splitlines())
    assert text.split().count("word") == 20 and text.split().count("->") == 1
    assert "\n" + " " * 25 + "another line\n" in text


# --- each check


@pytest.mark.parametrize(
    ("error", "expected", "fix"),
    [
        (OSError("two\nlines."), "OSError: two lines", "Fix it."),
        (AssertionError(), "AssertionError: AssertionError", "Fix it."),
        (ModuleNotFoundError("No module named 'dgl'"), "No module named 'dgl'", FIX_PACKAGES),
    ],
)
def test_check_that_raises_is_broken(error, expected, fix):
    def raise_error():
        raise error

    finding = Check("it", raise_error, "Fix it.").finding()
    assert (finding.state, finding.fix) == (BROKEN, fix)
    assert expected in finding.found


@pytest.mark.parametrize(
    ("installed", "state", "expected"),
    [
        ({}, OK, "all versions"),
        ({"torch": "2.0+cu130"}, OK, "all versions"),
        ({"timm": "0.9"}, WARN, "timm is 0.9, not 1.0.31"),
        ({"timm": None}, BROKEN, "timm is missing"),
        ({"ruff": None}, WARN, "ruff is missing"),
        ({"ruff": None, "timm": None, "torch": "1.0"}, BROKEN, "timm is missing; ruff is missing"),
    ],
    ids=["all", "build", "version", "missing", "no checker", "several"],
)
def test_packages_are_compared_with_their_pins(monkeypatch, tmp_path, installed, state, expected):
    def version(name):
        found = ({"torch": "2.0", "timm": "1.0.31", "ruff": "0.1"} | installed)[name]
        if found is None:
            raise PackageNotFoundError(name)
        return found

    (tmp_path / "requirements.txt").write_text(PINS)
    (tmp_path / "requirements-dev.txt").write_text(DEVELOPMENT_PINS)
    monkeypatch.setattr(checkup, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr("importlib.metadata.version", version)
    finding = named("packages")
    assert finding.state == state
    assert expected in finding.found
    assert finding.fix == ("" if state == OK else FIX_PACKAGES)


def test_other_python_version_is_broken(monkeypatch):
    monkeypatch.setattr(checkup, "PYTHON_VERSION", (3, 99))
    finding = named("Python")
    assert (finding.state, finding.fix[-5:]) == (BROKEN, "3.99.")


def test_network_with_different_results_is_broken(monkeypatch):
    import supervision.models.graph.backbone as backbone

    def otherwise(net, batch):
        return [x + 0.01 for x in backbone.forward_states(net, batch)]

    monkeypatch.setattr(backbone, "forward_states_dgl", otherwise)
    assert named("ALIGNN").state == OK
    assert named("ALIGNN on DGL").state == BROKEN


@pytest.mark.parametrize(("free", "state"), [(2, OK), (1.5, WARN), (0.5, BROKEN)])
def test_little_memory_or_disk_space_is_reported(monkeypatch, own_cache, free, state):
    monkeypatch.setattr(
        "supervision.runtime.memory.available_memory", lambda: Memory(16 * GIB, int(free * GIB))
    )
    usage = namedtuple("usage", "free")(int(free * GIB))
    monkeypatch.setattr(psutil, "disk_usage", lambda _folder: usage)
    for name, fix in (("memory", "container"), ("cache", FIX_CACHE), ("temporary files", "TMPDIR")):
        finding = named(name)
        assert finding.state == state
        assert f"{free:.1f} GiB" in finding.found
        assert (fix in finding.fix) is (state != OK)


def test_folders_that_cannot_be_created_or_written_are_broken(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUPERVISION_CACHE", str(tmp_path / "file" / "below"))
    assert (named("cache").state, named("cache").fix) == (BROKEN, FIX_CACHE)

    finding = checkup.check_folder(tmp_path / "gone", "Fix it.")
    message = f"{tmp_path / 'gone'} cannot be written to: No such file or directory"
    assert finding == Finding(BROKEN, message, "Fix it.")


@pytest.mark.parametrize(
    ("used", "cores", "policy", "fix"),
    [
        (2, 2, "passive", ""),
        (4, 8, "PASSIVE", ""),  # one thread per core with two hardware threads
        (64, 2, "PASSIVE", "export OMP_NUM_THREADS=2"),
        (1, 8, "PASSIVE", "export OMP_NUM_THREADS=8"),
        (2, 2, "ACTIVE", "export OMP_WAIT_POLICY=PASSIVE"),
    ],
)
def test_threads_are_compared_with_cores(monkeypatch, used, cores, policy, fix):
    monkeypatch.setattr(torch, "get_num_threads", lambda: used)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    finding = named("threads")
    assert (finding.state, finding.fix) == (WARN if fix else OK, fix)


@pytest.mark.parametrize(
    ("there", "built", "state", "fix"),
    [
        (False, None, OK, ""),
        (True, None, WARN, "built for CUDA"),
        (True, "13.0", WARN, "nvidia-smi"),
    ],
)
def test_gpu_that_torch_cannot_use_is_reported(monkeypatch, tmp_path, there, built, state, fix):
    monkeypatch.setattr("supervision.runtime.device.pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(checkup, "GPU_DEVICE_FILE", tmp_path if there else tmp_path / "none")
    monkeypatch.setattr(torch.version, "cuda", built)
    finding = named("device")
    assert finding.state == state
    assert fix in finding.fix


def test_number_format_of_the_processor_is_reported(monkeypatch):
    for amx, bf16, expected in ((True, False, "bfloat16 by AMX"), (False, False, "in float32: ")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda there=amx: there)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=bf16: there)
        assert expected in named("processor").found


class Source:
    """A source that answers, or does not."""

    def __init__(self, error=None):
        self.error = error

    def describe(self):
        return "afar"

    def probe(self):
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("sources", "state", "fix"),
    [
        ([Source(), Source()], OK, ""),
        ([Source(OSError("silence")), Source()], WARN, "weights=b is available"),
        ([Source(OSError("silence"))] * 2, BROKEN, "access to a source"),
    ],
    ids=["all", "one", "none"],
)
def test_one_available_source_of_weights_is_enough(monkeypatch, own_cache, sources, state, fix):
    rows = {x: ImageWeights(x, "vit", "none", (s,)) for x, s in zip("ab", sources, strict=True)}
    monkeypatch.setattr(table, "WEIGHTS", rows)
    monkeypatch.setattr(table, "AUTO_ORDER", {"vision": ("a",)})
    finding = named("weights: vision")
    assert finding.state == state
    assert fix in finding.fix
    assert finding.found.splitlines()[-1] == ("b: afar" if state != BROKEN else "b: afar: silence")


def test_sleep_that_cannot_be_prevented_is_a_warning(monkeypatch):
    monkeypatch.setenv("PATH", "")
    finding = named("sleep")
    assert (finding.state, "no systemd-inhibit" in finding.found) == (WARN, True)


def test_unfinished_runs_are_counted(own_cache):
    assert named("unfinished runs") == Finding(OK, "none")
    for name, files in {"a": ["last.pt"], "b": ["previous.pt"], "c": ["last.pt", FINISHED]}.items():
        folder = own_cache / "checkpoints" / name
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).touch()
            os.truncate(folder / file, GIB // 16)
    finding = named("unfinished runs")
    assert finding.state == OK
    assert finding.found == f"2 in {own_cache / 'checkpoints'}, 0.1 GiB"
    assert "delete the folders" in finding.fix


def test_other_trainings_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert named("other trainings") == Finding(OK, "none")
    with TrainingLock("theirs") as lock:
        lock.lock_machine(parallel=False)
        finding = named("other trainings")
    assert (finding.state, "run theirs" in finding.found) == (WARN, True)
    assert "parallel=true" in finding.fix


# --- tracking


@pytest.fixture
def check_store_at(monkeypatch):
    """A function that returns the finding for a store."""
    for name in tracking.NO_RETRIES:
        monkeypatch.setenv(name, "1")  # so that the fixture restores it
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def check(uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return tracking.CHECK.finding()

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(None)
    yield check
    mlflow.set_tracking_uri(before)


def test_missing_store_is_checked_but_not_created(check_store_at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_store_at(f"sqlite:///{tmp_path}/mlflow.db").state == OK
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert f"sqlite:///{tmp_path}/mlflow.db" in tracking.check_store().found  # the default
    finding = check_store_at("sqlite:///mlflow.db")
    assert (finding.state, "a different file in each folder" in finding.found) == (WARN, True)
    assert finding.fix == f"export MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db"
    assert list(tmp_path.iterdir()) == []


def test_store_that_cannot_be_written_is_broken(check_store_at, tmp_path, monkeypatch):
    finding = check_store_at(f"sqlite:///{tmp_path}/gone/mlflow.db")
    assert (finding.state, "there is no folder" in finding.found) == (BROKEN, True)
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    finding = check_store_at(f"sqlite:///{tmp_path}/text.db")
    assert (finding.state, "file is not a database" in finding.found) == (BROKEN, True)
    assert "mlflow db upgrade" in finding.fix

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    finding = check_store_at(f"sqlite:///{tmp_path}/mlflow.db")
    assert (finding.state, finding.fix) == (BROKEN, tracking.FIX_FILE)
    assert f"{tmp_path} cannot be written to: Permission denied" in finding.found


def test_store_of_another_mlflow_version_is_broken(own_store, check_store_at, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.MlflowClient(uri).search_experiments()
    assert check_store_at(uri).state == OK
    (tmp_path / "old.db").write_bytes((tmp_path / "mlflow.db").read_bytes())
    with sqlite3.connect(tmp_path / "old.db") as base:
        base.execute("UPDATE alembic_version SET version_num = 'earlier'")
    finding = check_store_at(f"sqlite:///{tmp_path}/old.db")
    assert (finding.state, "schema" in finding.found) == (BROKEN, True)


def test_server_that_does_not_answer_is_broken(check_store_at, monkeypatch):
    class Server(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.send_header("Content-Length", "19")
            self.end_headers()
            self.wfile.write(b'{"experiments": []}')

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert check_store_at(f"http://127.0.0.1:{server.server_port}").state == OK
    uri = f"http://127.0.0.1:{closed_port()}"
    finding = check_store_at(uri)
    assert (finding.state, finding.fix) == (BROKEN, tracking.FIX_SERVER)
    assert f"{uri} does not answer" in finding.found
    monkeypatch.setattr(tracking, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        finding = check_store_at(f"http://127.0.0.1:{silent_server.getsockname()[1]}")
        assert (finding.state, "no answer within 0.2 s" in finding.found) == (BROKEN, True)
