"""TrainingLock: one holder at a time; the lock ends with its process."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervision.runtime.lock import BusyError, TrainingLock, machine_lock_folder
from supervision.training.resuming import open_checkpoints

ROOT = Path(__file__).resolve().parents[1]
LOCK_HOLDER = """
import sys, time
from pathlib import Path
from supervision.runtime.lock import TrainingLock
with TrainingLock("theirs") as lock:
    lock.lock_machine(parallel=True)
    lock.lock_folder(Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own_lock_folder(tmp_path, monkeypatch):
    """Use a temporary folder for the machine's locks, so that other trainings do not interfere."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


@contextmanager
def other_process(folder):
    """A process that holds the locks of the machine and of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK_HOLDER, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_second_training_is_refused_and_the_message_names_the_first(tmp_path):
    with other_process(tmp_path / "a") as process, TrainingLock("ours") as lock:
        message = rf"process {process.pid} on .* since \d{{4}}-.*, run theirs.*parallel=true"
        with pytest.raises(BusyError, match=message):
            lock.lock_machine(parallel=False)


def test_parallel_training_is_allowed_and_the_others_are_printed(tmp_path, capsys):
    with other_process(tmp_path / "a") as process, TrainingLock("ours") as lock:
        lock.lock_machine(parallel=True)
        assert f"process {process.pid} on" in capsys.readouterr().out
        with TrainingLock("third") as third, pytest.raises(BusyError):
            third.lock_machine(parallel=False)


def test_second_training_in_one_folder_is_refused_even_with_parallel(tmp_path):
    with other_process(tmp_path / "a") as process, TrainingLock("ours") as lock:
        lock.lock_machine(parallel=True)
        message = rf"a is in use by process {process.pid} on .*run theirs.*checkpoint_dir\.$"
        with pytest.raises(BusyError, match=message):
            lock.lock_folder(tmp_path / "a")
        lock.lock_folder(tmp_path / "b")


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_locks_end_with_their_process(tmp_path, signal_number):
    with other_process(tmp_path / "a") as process:
        os.kill(process.pid, signal_number)
        process.wait()
        with TrainingLock("ours") as lock:
            lock.lock_machine(parallel=False)
            lock.lock_folder(tmp_path / "a")
            left = {path.name for path in machine_lock_folder().iterdir()} - {"guard"}
            assert left == {f"{os.getpid()}.lock", f"{os.getpid()}.json"}


def test_locks_are_released_after_the_block(tmp_path):
    for _ in range(2):
        with TrainingLock("ours") as lock:
            lock.lock_machine(parallel=False)
            lock.lock_folder(tmp_path / "a")
    assert {path.name for path in machine_lock_folder().iterdir()} <= {"guard"}


def test_resumed_run_is_named_as_the_holder(tmp_path):
    with TrainingLock("wrapper") as lock:
        lock.lock_folder(tmp_path / "a")
        lock.rename_run("earlier")
        with TrainingLock("other") as other, pytest.raises(BusyError, match="run earlier"):
            other.lock_folder(tmp_path / "a")


def test_files_of_a_folder_in_use_are_not_changed(own_cache, tmp_path):
    """The second of two equal trainings must not delete a file that the first is writing."""
    folder = own_cache / "checkpoints"

    def busy(path):
        raise BusyError(str(path))

    first = open_checkpoints({"seed": "1"}, run="a" * 32)
    first.begin()
    (first.folder / "last.pt.part").touch()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for options in ({}, {"folder": str(first.folder)}, {"resume": str(first.folder)}):
        with pytest.raises(BusyError, match=first.folder.name):
            open_checkpoints({"seed": "1"}, lock_folder=busy, **options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
