"""TrainingLock: one process at a time, gone with it however it ends."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervision.runtime.lock import BusyError, TrainingLock, machine_folder
from supervision.training.resuming import open_checkpoints

ROOT = Path(__file__).resolve().parents[1]
HOLD = """
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
def own_machine(tmp_path, monkeypatch):
    """Trainings of this machine that are none of ours are not seen, and do not see us."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


@contextmanager
def another(folder):
    """A process that holds the machine and a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_training_is_told_who_is_there_and_refused(tmp_path):
    with another(tmp_path / "a") as process, TrainingLock("ours") as lock:
        said = rf"process {process.pid} on .* since \d{{4}}-.*, run theirs.*parallel=true"
        with pytest.raises(BusyError, match=said):
            lock.lock_machine(parallel=False)


def test_parallel_is_let_through_and_both_are_known(tmp_path, capsys):
    with another(tmp_path / "a") as process, TrainingLock("ours") as lock:
        lock.lock_machine(parallel=True)
        assert f"process {process.pid} on" in capsys.readouterr().out
        with TrainingLock("third") as third, pytest.raises(BusyError):
            third.machine(parallel=False)


def test_one_folder_is_refused_even_in_parallel(tmp_path):
    with another(tmp_path / "a") as process, TrainingLock("ours") as lock:
        lock.lock_machine(parallel=True)
        said = rf"a is in use by process {process.pid} on .*run theirs.*checkpoint_dir\.$"
        with pytest.raises(BusyError, match=said):
            lock.lock_folder(tmp_path / "a")
        lock.lock_folder(tmp_path / "b")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_claim_dies_with_its_process(tmp_path, how):
    with another(tmp_path / "a") as process:
        os.kill(process.pid, how)
        process.wait()
        with TrainingLock("ours") as lock:
            lock.lock_machine(parallel=False)
            lock.lock_folder(tmp_path / "a")
            left = {path.name for path in machine_folder().iterdir()} - {"guard"}
            assert left == {f"{os.getpid()}.lock", f"{os.getpid()}.json"}


def test_nothing_is_held_after_the_block(tmp_path):
    for _ in range(2):
        with TrainingLock("ours") as lock:
            lock.lock_machine(parallel=False)
            lock.lock_folder(tmp_path / "a")
    assert {path.name for path in machine_folder().iterdir()} <= {"guard"}


def test_what_is_carried_on_is_known_by_its_first_run(tmp_path):
    with TrainingLock("wrapper") as lock:
        lock.lock_folder(tmp_path / "a")
        lock.rename_run("earlier")
        with TrainingLock("other") as other, pytest.raises(BusyError, match="run earlier"):
            other.folder(tmp_path / "a")


def test_a_folder_in_use_is_not_touched(own_cache, tmp_path):
    """The second of two equal running_trainings must not sweep up what the first is just writing."""
    folder = own_cache / "checkpoints"

    def busy(path):
        raise BusyError(str(path))

    first = open_checkpoints({"seed": "1"}, run="a" * 32)
    first.begin()
    (first.folder / "last.pt.part").touch()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for options in ({}, {"folder": str(first.folder)}, {"resume": str(first.folder)}):
        with pytest.raises(BusyError, match=first.folder.name):
            open_checkpoints({"seed": "1"}, claim=busy, **options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
