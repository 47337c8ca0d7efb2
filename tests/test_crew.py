"""Workers of a study: as many as memory lets, and none left behind."""

import sys
import time

import psutil
import pytest

from supervision.runtime.memory import Memory
from tracking.tuning import worker_pool as module
from tracking.tuning.worker_pool import WorkerPool

GIB = 2**30
WORKS = (sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(60)")
FAILS = (sys.executable, "-c", "import sys; sys.exit('no such study')")


@pytest.fixture
def free(monkeypatch):
    """Sets how many bytes are free of 10 GiB."""

    def set_free(size):
        monkeypatch.setattr(module, "memory", lambda: Memory(10 * GIB, int(size)))

    set_free(9 * GIB)
    monkeypatch.setattr(module, "COMMAND", WORKS)
    return set_free


@pytest.fixture
def notes():
    return []


@pytest.fixture
def crew(tmp_path, free, notes):
    with WorkerPool(tmp_path / "plan.json", 3, {"study": "s"}, notes.append) as crew:
        yield crew


def tend(crew, settled, waiting=9):
    """As when the first so many workers have an epoch behind them."""
    pids = {worker.pid for worker in crew.working[:settled]}
    crew.tend(waiting=waiting, begun=pids, settled=pids)


def test_the_next_one_comes_when_the_last_has_shown_what_it_takes(crew, notes):
    for settled, there in ((0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (3, 3)):
        tend(crew, settled)
        assert len(crew.working) == there
    assert notes == []
    pids = [worker.pid for worker in crew.working]
    crew.__exit__(None, None, None)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_none_comes_where_nothing_waits(crew):
    tend(crew, 0, waiting=0)
    assert crew.working == []


def test_none_comes_where_it_would_not_fit(crew, free, notes):
    tend(crew, 0)
    time.sleep(0.2)
    tend(crew, 0)
    free(1.1 * crew.largest)
    for _ in range(3):
        tend(crew, 1)
    assert len(crew.working) == 1
    assert len(notes) == 1 and "1 of 3 workers go on" in notes[0]


def test_the_last_one_goes_where_memory_runs_out_and_the_first_stays(crew, free, notes):
    tend(crew, 0)
    tend(crew, 1)
    first, second = crew.working
    free(0.1 * GIB)
    for _ in range(3):
        tend(crew, 2)
    assert crew.working == [first]
    assert second.returncode is not None
    free(9 * GIB)
    tend(crew, 2)
    assert crew.working == [first]
    assert len(notes) == 1 and "1 workers go on" in notes[0]


def test_a_killed_one_is_replaced(crew):
    tend(crew, 0)
    (first,) = crew.working
    first.kill()
    first.wait()
    tend(crew, 0)
    assert crew.working[0].pid != first.pid


def test_workers_that_can_do_nothing_are_not_started_for_ever(crew, monkeypatch):
    monkeypatch.setattr(module, "COMMAND", FAILS)

    def tend_for_ever():
        while True:
            tend(crew, 0)
            for worker in crew.working:
                worker.wait()

    with pytest.raises(ChildProcessError, match="no such study"):
        tend_for_ever()


def test_one_that_ends_in_an_error_after_a_trial_is_replaced(crew, monkeypatch):
    monkeypatch.setattr(module, "COMMAND", FAILS)
    for _ in range(2 * module.FUTILE):
        tend(crew, 9)
        crew.working[0].wait()
        begun = {crew.working[0].pid}
        crew.tend(waiting=0, begun=begun, settled=begun)
    assert crew.working == []


def test_what_a_worker_takes_is_what_its_own_processes_take_too(crew, monkeypatch):
    child = "import time; kept = b'x' * 300_000_000; print(flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", code))
    tend(crew, 0)
    until = time.monotonic() + 30
    while crew.largest < 300_000_000 and time.monotonic() < until:
        tend(crew, 0)
        time.sleep(0.05)
    assert crew.largest > 300_000_000
    for grandchild in psutil.Process(crew.working[0].pid).children(recursive=True):
        grandchild.kill()


@pytest.mark.parametrize(("given", "threads"), [("", "4"), ("2", "2"), ("64", "4")])
def test_workers_share_the_cores_and_make_runs_below_the_study(
    tmp_path, monkeypatch, given, threads
):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setenv("MLFLOW_RUN_ID", "the study's")
    crew = WorkerPool(tmp_path / "plan.json", 2, {"study": "s"}, print)
    assert crew.environment["OMP_NUM_THREADS"] == threads
    assert crew.environment["MLFLOW_RUN_CONTEXT"] == '{"study": "s"}'
    assert "MLFLOW_RUN_ID" not in crew.environment
