"""Faults of the machine (full disk, locked store, denied access) give a one-sentence error."""

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
from supervision.runtime.errors import StoreError, disk_error_message
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


def error_message(main, capsys):
    """The one-sentence error of a command that fails."""
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
def test_a_full_disk_is_reported_with_advice(small_disk, capsys, write):
    text = error_message(lambda: write(small_disk), capsys)
    assert "No space is left" in text
    assert "Free disk space" in text


def test_a_full_disk_of_the_tracking_store_is_reported(small_disk, database, capsys, monkeypatch):
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

    assert "No space is left" in error_message(run, capsys)
    mlflow.set_tracking_uri(before)


def test_a_locked_store_is_reported_after_a_timeout(own_store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.sql.text", with_short_timeout)
    mlflow.get_experiment("0")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        text = error_message(lambda: runs.tracked_run("locked").__enter__(), capsys)
    assert "is locked: another process" in text


def with_short_timeout(text):
    """SQL with a timeout of 1 second instead of MLflow's 20."""
    from sqlalchemy import text as plain

    return plain(text.replace("busy_timeout = 20000", "busy_timeout = 1000"))


def test_other_errors_of_the_store_are_reported_in_one_sentence(own_store):
    failed = pytest.raises(StoreError, match=r"^The tracking store failed \(.*doctor")
    with failed, runs.tracked_run("wrong"):
        mlflow.get_run("0" * 32)


def test_the_log_of_a_failure_has_no_absolute_paths_of_the_project(own_store):
    with pytest.raises(ZeroDivisionError), runs.tracked_run("wrong"):
        raise ZeroDivisionError
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    text = download(f"runs:/{run.info.run_id}/failure.txt").read_text()
    assert "ZeroDivisionError" in text
    assert str(ROOT) not in text and "tracking/runs.py" in text


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_denied_access_names_the_path_and_the_variable_that_sets_it(number):
    text = disk_error_message(OSError(number, os.strerror(number), "/cache/scenes/x.npz"))
    assert text.startswith("Access is denied for /cache/scenes/x.npz")
    assert "SUPERVISION_CACHE" in text


@pytest.mark.slow
def test_a_cache_without_write_access_is_reported():
    """In /sys no user can create a folder, not even root."""
    command = [sys.executable, "-m", "entrypoints.prepare", "--limit", "2", "--out", "x.zip"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"SUPERVISION_CACHE": "/sys/kernel/supervision"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: Access is denied for /sys/kernel")
    assert "Traceback" not in done.stderr


def test_other_errors_are_not_disk_errors():
    assert disk_error_message(ValueError("limit must be 0 or more")) == ""
    error = ValueError("The file a.cif cannot be read.")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/a.cif")
    assert disk_error_message(error) == ""
