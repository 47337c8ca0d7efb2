"""The worker pool: as many workers as fit into memory, all stopped at the end."""

import sys
import time

import psutil
import pytest

from supervision.runtime.memory import Memory
from tracking.tuning import worker_pool
from tracking.tuning.worker_pool import MAX_FAILED_STARTS, WorkerPool

GIB = 2**30
SLEEPING_WORKER = (
    sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(60)"
)  # fmt: skip
FAILING_WORKER = (sys.executable, "-c", "import sys; sys.exit('no such study')")


@pytest.fixture
def set_free_bytes(monkeypatch):
    """Sets how many bytes of 10 GiB are free."""

    def set_free(size):
        monkeypatch.setattr(worker_pool, "available_memory", lambda: Memory(10 * GIB, int(size)))

    set_free(9 * GIB)
    monkeypatch.setattr(worker_pool, "WORKER_COMMAND", SLEEPING_WORKER)
    return set_free


@pytest.fixture
def notes():
    return []


@pytest.fixture
def pool(tmp_path, set_free_bytes, notes):
    with WorkerPool(tmp_path / "plan.json", 3, {"study": "s"}, notes.append) as pool:
        yield pool


def update(pool, measured, waiting=9):
    """Update the pool when its first ``measured`` workers have finished an epoch."""
    pids = {worker.pid for worker in pool.running[:measured]}
    pool.update(waiting=waiting, begun=pids, measured=pids)


def test_a_worker_starts_when_all_others_have_finished_an_epoch(pool, notes):
    for measured, expected in ((0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (3, 3)):
        update(pool, measured)
        assert len(pool.running) == expected
    assert notes == []
    pids = [worker.pid for worker in pool.running]
    pool.__exit__(None, None, None)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_no_worker_starts_when_no_trial_waits(pool):
    update(pool, 0, waiting=0)
    assert pool.running == []


def test_no_worker_starts_when_it_would_not_fit_into_memory(pool, set_free_bytes, notes):
    update(pool, 0)
    time.sleep(0.2)
    update(pool, 0)
    set_free_bytes(1.1 * pool.largest_bytes)
    for _ in range(3):
        update(pool, 1)
    assert len(pool.running) == 1
    assert len(notes) == 1 and "1 of 3 workers run" in notes[0]


def test_the_newest_worker_is_stopped_when_memory_runs_out(pool, set_free_bytes, notes):
    update(pool, 0)
    update(pool, 1)
    first, second = pool.running
    set_free_bytes(0.1 * GIB)
    for _ in range(3):
        update(pool, 2)
    assert pool.running == [first]
    assert second.returncode is not None
    set_free_bytes(9 * GIB)
    update(pool, 2)
    assert pool.running == [first]
    assert len(notes) == 1 and "reduced to 1 workers" in notes[0]


def test_a_killed_worker_is_replaced(pool):
    update(pool, 0)
    (first,) = pool.running
    first.kill()
    first.wait()
    update(pool, 0)
    assert pool.running[0].pid != first.pid


def test_repeated_failed_starts_raise_an_error(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "WORKER_COMMAND", FAILING_WORKER)

    def update_forever():
        while True:
            update(pool, 0)
            for worker in pool.running:
                worker.wait()

    with pytest.raises(ChildProcessError, match="no such study"):
        update_forever()


def test_a_worker_that_fails_after_it_has_begun_a_trial_is_replaced(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "WORKER_COMMAND", FAILING_WORKER)
    for _ in range(2 * MAX_FAILED_STARTS):
        update(pool, 9)
        pool.running[0].wait()
        begun = {pool.running[0].pid}
        pool.update(waiting=0, begun=begun, measured=begun)
    assert pool.running == []


def test_the_memory_of_a_worker_includes_its_child_processes(pool, monkeypatch):
    child = "import time; kept = b'x' * 300_000_000; print(flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    monkeypatch.setattr(worker_pool, "WORKER_COMMAND", (sys.executable, "-c", code))
    update(pool, 0)
    deadline = time.monotonic() + 30
    while pool.largest_bytes < 300_000_000 and time.monotonic() < deadline:
        update(pool, 0)
        time.sleep(0.05)
    assert pool.largest_bytes > 300_000_000
    for grandchild in psutil.Process(pool.running[0].pid).children(recursive=True):
        grandchild.kill()


@pytest.mark.parametrize(("given", "threads"), [("", "4"), ("2", "2"), ("64", "4")])
def test_workers_share_the_cores_and_do_not_inherit_the_run_of_the_study(
    tmp_path, monkeypatch, given, threads
):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setenv("MLFLOW_RUN_ID", "the study's run")
    pool = WorkerPool(tmp_path / "plan.json", 2, {"study": "s"}, print)
    assert pool.environment["OMP_NUM_THREADS"] == threads
    assert pool.environment["MLFLOW_RUN_CONTEXT"] == '{"study": "s"}'
    assert "MLFLOW_RUN_ID" not in pool.environment
