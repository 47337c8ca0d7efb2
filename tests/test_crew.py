"""Workers of a study: as many as memory lets, and none left behind."""

import sys
import time

import psutil
import pytest

from supervision.memory import Memory
from tracking import crew as module
from tracking.crew import Crew

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
    with Crew(tmp_path / "plan.json", 3, {"study": "s"}, notes.append) as crew:
        yield crew


def test_the_next_one_comes_when_the_last_has_shown_what_it_takes(crew, notes):
    for settled, there in ((0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (3, 3)):
        crew.tend(waiting=9, settled=settled)
        assert len(crew.working) == there
    assert notes == []
    pids = [worker.pid for worker in crew.working]
    crew.__exit__(None, None, None)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_none_comes_where_nothing_waits(crew):
    crew.tend(waiting=0, settled=0)
    assert crew.working == []


def test_none_comes_where_it_would_not_fit(crew, free, notes):
    crew.tend(waiting=9, settled=0)
    time.sleep(0.2)
    crew.tend(waiting=9, settled=0)
    free(1.1 * crew.largest)
    for _ in range(3):
        crew.tend(waiting=9, settled=1)
    assert len(crew.working) == 1
    assert len(notes) == 1 and "1 of 3 workers go on" in notes[0]


def test_the_last_one_goes_where_memory_runs_out_and_the_first_stays(crew, free, notes):
    crew.tend(waiting=9, settled=0)
    crew.tend(waiting=9, settled=1)
    first, second = crew.working
    free(0.1 * GIB)
    for _ in range(3):
        crew.tend(waiting=9, settled=2)
    assert crew.working == [first]
    assert second.returncode is not None
    free(9 * GIB)
    crew.tend(waiting=9, settled=2)
    assert crew.working == [first]
    assert len(notes) == 1 and "1 workers go on" in notes[0]


def test_a_killed_one_is_replaced(crew):
    crew.tend(waiting=9, settled=0)
    (first,) = crew.working
    first.kill()
    first.wait()
    crew.tend(waiting=9, settled=0)
    assert crew.working[0].pid != first.pid


def test_workers_that_can_do_nothing_are_not_started_for_ever(crew, monkeypatch):
    monkeypatch.setattr(module, "COMMAND", FAILS)

    def tend_for_ever():
        while True:
            crew.tend(waiting=9, settled=0)
            for worker in crew.working:
                worker.wait()

    with pytest.raises(ChildProcessError, match="no such study"):
        tend_for_ever()


@pytest.mark.parametrize(("given", "threads"), [("", "4"), ("2", "2"), ("64", "4")])
def test_workers_share_the_cores_and_make_runs_below_the_study(
    tmp_path, monkeypatch, given, threads
):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setenv("MLFLOW_RUN_ID", "the study's")
    crew = Crew(tmp_path / "plan.json", 2, {"study": "s"}, print)
    assert crew.environment["OMP_NUM_THREADS"] == threads
    assert crew.environment["MLFLOW_RUN_CONTEXT"] == '{"study": "s"}'
    assert "MLFLOW_RUN_ID" not in crew.environment
