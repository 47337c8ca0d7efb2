"""The checks of a machine, with fabricated faults; and the doctor as a user calls it."""

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
from supervision.doctor import BROKEN, CACHE, CHECKS, INSTALL, OK, WARN, Check, Finding
from supervision.models.weights import ImageWeights
from supervision.models.weights import catalogue as table
from supervision.models.weights.catalogue import WEIGHTS
from supervision.models.weights.sources import sha256_of
from supervision.runtime.lock import TrainingLock
from supervision.runtime.memory import Memory
from supervision.training.checkpoint import FINISHED
from tracking import doctor as tracking

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
NAMES = [check.name for check in (*CHECKS, tracking.CHECK)]
PINS = "# what\ntorch==2.0  # a\ntimm==1.0.31  # b\n\n# checks\nruff==0.1  # c\n"


@pytest.fixture
def full_cache(own_cache):
    """A cache that holds something under the name of every row, so that no source is asked."""
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
    """What the check of that name finds."""
    (check,) = [check for check in CHECKS if check.name == name]
    return check.finding()


# --- the command


def test_where_all_is_well_it_exits_0_with_a_row_a_check(own_store, full_cache, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    done = CliRunner().invoke(doctor.app, [])
    assert done.exit_code == 0, done.output
    head, *lines, end = done.output.splitlines()
    assert [line[: doctor.NAMES].strip() for line in lines if line[0] != " "] == NAMES
    assert head.startswith("check") and end.startswith(f"{len(NAMES)} checks: 0 broken")
    assert all(len(line) <= 100 for line in lines)


def test_what_is_broken_is_named_and_the_exit_is_1(full_cache, tmp_path):
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
    assert f"-> {INSTALL}" in done.stdout and f"-> {tracking.SERVER}" in done.stdout


def test_a_row_is_as_wide_as_the_terminal_and_keeps_every_word(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = doctor.row("disk", Finding(WARN, "a word " * 20 + "\nanother line", "do this " * 10))
    assert text.startswith("disk             warn    a word a word")
    assert all(len(line) <= 60 for line in text.splitlines())
    assert text.split().count("word") == 20 and text.split().count("->") == 1
    assert "\n" + " " * 25 + "another line\n" in text


# --- each check


@pytest.mark.parametrize(
    ("error", "said", "mend"),
    [
        (OSError("two\nlines."), "OSError: two lines", "Mend it."),
        (AssertionError(), "AssertionError: AssertionError", "Mend it."),
        (ModuleNotFoundError("No module named 'dgl'"), "No module named 'dgl'", INSTALL),
    ],
)
def test_a_check_that_raises_is_broken(error, said, mend):
    def look():
        raise error

    finding = Check("it", look, "Mend it.").finding()
    assert (finding.state, finding.mend) == (BROKEN, mend)
    assert said in finding.found


@pytest.mark.parametrize(
    ("installed", "state", "said"),
    [
        ({}, OK, "all of"),
        ({"torch": "2.0+cu130"}, OK, "all of"),
        ({"timm": "0.9"}, WARN, "timm is 0.9, not 1.0.31"),
        ({"timm": None}, BROKEN, "timm is missing"),
        ({"ruff": None}, WARN, "ruff is missing"),
        ({"ruff": None, "timm": None, "torch": "1.0"}, BROKEN, "timm is missing; ruff is missing"),
    ],
    ids=["all", "build", "version", "missing", "no checker", "several"],
)
def test_packages_are_held_to_their_pins(monkeypatch, tmp_path, installed, state, said):
    def version(name):
        found = ({"torch": "2.0", "timm": "1.0.31", "ruff": "0.1"} | installed)[name]
        if found is None:
            raise PackageNotFoundError(name)
        return found

    (tmp_path / "pins.txt").write_text(PINS)
    monkeypatch.setattr(checkup, "REQUIREMENTS", tmp_path / "pins.txt")
    monkeypatch.setattr("importlib.metadata.version", version)
    finding = named("packages")
    assert finding.state == state
    assert said in finding.found
    assert finding.mend == ("" if state == OK else INSTALL)


def test_another_python_is_broken(monkeypatch):
    monkeypatch.setattr(checkup, "PYTHON", (3, 99))
    finding = named("Python")
    assert (finding.state, finding.mend[-5:]) == (BROKEN, "3.99.")


def test_a_network_that_answers_otherwise_is_broken(monkeypatch):
    import supervision.models.graph.backbone as backbone

    def otherwise(net, batch):
        return [x + 0.01 for x in backbone.walk(net, batch)]

    monkeypatch.setattr(backbone, "walk_dgl", otherwise)
    assert named("ALIGNN").state == OK
    assert named("ALIGNN on DGL").state == BROKEN


@pytest.mark.parametrize(("free", "state"), [(2, OK), (1.5, WARN), (0.5, BROKEN)])
def test_little_memory_or_disk_is_said(monkeypatch, own_cache, free, state):
    monkeypatch.setattr(
        "supervision.runtime.memory.memory", lambda: Memory(16 * GIB, int(free * GIB))
    )
    usage = namedtuple("usage", "free")(int(free * GIB))
    monkeypatch.setattr(psutil, "disk_usage", lambda _folder: usage)
    for name, mend in (("memory", "container"), ("cache", CACHE), ("temporary files", "TMPDIR")):
        finding = named(name)
        assert finding.state == state
        assert f"{free:.1f} GiB" in finding.found
        assert (mend in finding.mend) is (state != OK)


def test_folders_that_cannot_be_made_or_written_are_broken(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUPERVISION_CACHE", str(tmp_path / "file" / "below"))
    assert (named("cache").state, named("cache").mend) == (BROKEN, CACHE)

    finding = checkup.writable(tmp_path / "gone", "Mend it.")
    said = f"{tmp_path / 'gone'} cannot be written to: No such file or directory"
    assert finding == Finding(BROKEN, said, "Mend it.")


@pytest.mark.parametrize(
    ("used", "cores", "policy", "mend"),
    [
        (2, 2, "passive", ""),
        (4, 8, "PASSIVE", ""),  # one a core that is two to the system
        (64, 2, "PASSIVE", "export OMP_NUM_THREADS=2"),
        (1, 8, "PASSIVE", "export OMP_NUM_THREADS=8"),
        (2, 2, "ACTIVE", "export OMP_WAIT_POLICY=PASSIVE"),
    ],
)
def test_threads_are_held_against_cores(monkeypatch, used, cores, policy, mend):
    monkeypatch.setattr(torch, "get_num_threads", lambda: used)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    finding = named("threads")
    assert (finding.state, finding.mend) == (WARN if mend else OK, mend)


@pytest.mark.parametrize(
    ("there", "built", "state", "mend"),
    [
        (False, None, OK, ""),
        (True, None, WARN, "built for CUDA"),
        (True, "13.0", WARN, "nvidia-smi"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_said(monkeypatch, tmp_path, there, built, state, mend):
    monkeypatch.setattr("supervision.runtime.device.pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(checkup, "GPU", tmp_path if there else tmp_path / "none")
    monkeypatch.setattr(torch.version, "cuda", built)
    finding = named("device")
    assert finding.state == state
    assert mend in finding.mend


def test_processors_are_known_by_what_they_multiply(monkeypatch):
    for amx, bf16, said in ((True, False, "bfloat16 by AMX"), (False, False, "in float32: ")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda there=amx: there)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=bf16: there)
        assert said in named("processor").found


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
    ("sources", "state", "mend"),
    [
        ([Source(), Source()], OK, ""),
        ([Source(OSError("silence")), Source()], WARN, "weights=b can be had"),
        ([Source(OSError("silence"))] * 2, BROKEN, "reach a source"),
    ],
    ids=["all", "one", "none"],
)
def test_one_source_of_weights_is_enough(monkeypatch, own_cache, sources, state, mend):
    rows = {x: ImageWeights(x, "vit", "none", (s,)) for x, s in zip("ab", sources, strict=True)}
    monkeypatch.setattr(table, "WEIGHTS", rows)
    monkeypatch.setattr(table, "AUTO", {"vision": ("a",)})
    finding = named("weights: vision")
    assert finding.state == state
    assert mend in finding.mend
    assert finding.found.splitlines()[-1] == ("b: afar" if state != BROKEN else "b: afar: silence")


def test_sleep_that_cannot_be_held_off_is_a_warning(monkeypatch):
    monkeypatch.setenv("PATH", "")
    finding = named("sleep")
    assert (finding.state, "no systemd-inhibit" in finding.found) == (WARN, True)


def test_trainings_that_were_begun_and_not_ended_are_counted(own_cache):
    assert named("begun, not ended") == Finding(OK, "none")
    for name, files in {"a": ["last.pt"], "b": ["previous.pt"], "c": ["last.pt", FINISHED]}.items():
        folder = own_cache / "checkpoints" / name
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).touch()
            os.truncate(folder / file, GIB // 16)
    finding = named("begun, not ended")
    assert finding.state == OK
    assert finding.found == f"2 in {own_cache / 'checkpoints'}, 0.1 GiB"
    assert "deleted" in finding.mend


def test_other_trainings_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert named("other running_trainings") == Finding(OK, "none")
    with TrainingLock("theirs") as lock:
        lock.lock_machine(parallel=False)
        finding = named("other running_trainings")
    assert (finding.state, "run theirs" in finding.found) == (WARN, True)
    assert "parallel=true" in finding.mend


# --- tracking


@pytest.fixture
def at(monkeypatch):
    """Looks at a store."""
    for name in tracking.IMPATIENT:
        monkeypatch.setenv(name, "1")  # and what is set meanwhile is taken back
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def look(uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return tracking.CHECK.finding()

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(None)
    yield look
    mlflow.set_tracking_uri(before)


def test_a_store_that_is_not_yet_there_is_looked_at_and_not_made(at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert at(f"sqlite:///{tmp_path}/mlflow.db").state == OK
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert f"sqlite:///{tmp_path}/mlflow.db" in tracking.store().found  # the default
    finding = at("sqlite:///mlflow.db")
    assert (finding.state, "another file in every folder" in finding.found) == (WARN, True)
    assert finding.mend == f"export MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_is_broken(at, tmp_path, monkeypatch):
    finding = at(f"sqlite:///{tmp_path}/gone/mlflow.db")
    assert (finding.state, "there is no folder" in finding.found) == (BROKEN, True)
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    finding = at(f"sqlite:///{tmp_path}/text.db")
    assert (finding.state, "file is not a database" in finding.found) == (BROKEN, True)
    assert "mlflow db upgrade" in finding.mend

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    finding = at(f"sqlite:///{tmp_path}/mlflow.db")
    assert (finding.state, finding.mend) == (BROKEN, tracking.ELSEWHERE)
    assert f"{tmp_path} cannot be written to: Permission denied" in finding.found


def test_a_store_of_another_mlflow_is_broken(own_store, at, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.MlflowClient(uri).search_experiments()
    assert at(uri).state == OK
    (tmp_path / "old.db").write_bytes((tmp_path / "mlflow.db").read_bytes())
    with sqlite3.connect(tmp_path / "old.db") as base:
        base.execute("UPDATE alembic_version SET version_num = 'earlier'")
    finding = at(f"sqlite:///{tmp_path}/old.db")
    assert (finding.state, "schema" in finding.found) == (BROKEN, True)


def test_a_server_answers_or_does_not(at, monkeypatch):
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
        assert at(f"http://127.0.0.1:{server.server_port}").state == OK
    uri = f"http://127.0.0.1:{closed_port()}"
    finding = at(uri)
    assert (finding.state, finding.mend) == (BROKEN, tracking.SERVER)
    assert f"{uri} does not answer" in finding.found
    monkeypatch.setattr(tracking, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        finding = at(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert (finding.state, "no answer within 0.2 s" in finding.found) == (BROKEN, True)
