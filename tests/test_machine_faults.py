"""What a machine does to a command (a full disk, a lock, denied access) is one sentence."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import mlflow
import pytest
import torch
from projects import ROOT
from safetensors.torch import save_file

from entrypoints.options import run_cli
from supervision.runtime.errors import StoreError, machine_fault
from supervision.training.checkpoint import save_checkpoint
from tracking import runs
from tracking.serving.downloads import download


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def said(main, capsys):
    """The one sentence of a command that fails."""
    with pytest.raises(SystemExit) as caught:
        run_cli(main)
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    return text


BIG = torch.zeros(4_000_000)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: save_checkpoint(folder / "last.pt", {"x": BIG}),
        lambda folder: save_file({"x": BIG}, folder / "model.safetensors"),
        lambda folder: (folder / "a.csv").write_bytes(bytes(16_000_000)),
    ],
    ids=["a checkpoint", "a model", "a table"],
)
def test_a_full_disk_is_said_with_what_to_do(small_disk, capsys, write):
    text = said(lambda: write(small_disk), capsys)
    assert "No space is left" in text
    assert "Make room" in text


def test_a_full_disk_under_the_tracking_store_is_said(small_disk, database, capsys, monkeypatch):
    shutil.copy(database, small_disk / "mlflow.db")
    monkeypatch.chdir(small_disk)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{small_disk}/mlflow.db")
    mlflow.get_experiment("0")

    def run():
        with runs.tracked_run("full"):
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            (small_disk / "filler").write_bytes(bytes(free))
            for number in range(20_000):
                mlflow.set_tag(f"tag{number}", "x" * 4000)

    assert "No space is left" in said(run, capsys)
    mlflow.set_tracking_uri(before)


def test_a_locked_store_is_waited_for_and_then_said(own_store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.sql.text", impatient)
    mlflow.get_experiment("0")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        text = said(lambda: runs.tracked_run("locked").__enter__(), capsys)
    assert "is locked: another process" in text


def impatient(text):
    """MLflow waits 20 seconds: here one will do."""
    from sqlalchemy import text as plain

    return plain(text.replace("busy_timeout = 20000", "busy_timeout = 1000"))


def test_another_error_of_the_store_is_a_sentence_too(own_store):
    failed = pytest.raises(StoreError, match=r"^The tracking store failed \(.*doctor")
    with failed, runs.tracked_run("wrong"):
        mlflow.get_run("0" * 32)


def test_the_story_of_a_failure_names_no_folder_of_this_machine(own_store):
    with pytest.raises(ZeroDivisionError), runs.tracked_run("wrong"):
        raise ZeroDivisionError
    (run,) = mlflow.search_runs(output_format="list")
    text = download(f"runs:/{run.info.run_id}/failure.txt").read_text()
    assert "ZeroDivisionError" in text
    assert str(ROOT) not in text and "tracking/runs.py" in text


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_denied_access_names_the_place_and_who_chooses_it(number):
    text = machine_fault(OSError(number, os.strerror(number), "/cache/scenes/x.npz"))
    assert text.startswith("Access is denied for /cache/scenes/x.npz")
    assert "SUPERVISION_CACHE" in text


def test_a_cache_that_cannot_be_written_to_is_said():
    """/sys lets nobody make a folder, not even root."""
    command = [sys.executable, "-m", "entrypoints.prepare", "--limit", "2", "--out", "x.zip"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"SUPERVISION_CACHE": "/sys/kernel/supervision"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: Access is denied for /sys/kernel")
    assert "Traceback" not in done.stderr


def test_a_reason_that_is_no_fault_of_the_machine_stays_as_it_is():
    assert machine_fault(ValueError("limit must be 0 or more")) == ""
    error = ValueError("The file a.cif cannot be read.")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/a.cif")
    assert machine_fault(error) == ""
