"""The trial queue on every storage: several processes run each trial once, and none is lost."""

import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from itertools import count

import optuna
import psutil
import pytest
from optuna.samplers import RandomSampler
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.trial import TrialState
from postgres import postgres, skip_without
from sqlalchemy import create_engine, text

from tracking.processes import Worker
from tracking.tuning import trial_queue
from tracking.tuning.storage import open_storage, write_lock
from tracking.tuning.trial_queue import LEADER, MAX_ATTEMPTS, TrialQueue, sample

pytestmark = pytest.mark.slow

SPACE = {
    "x": optuna.distributions.FloatDistribution(0.0, 1.0),
    "n": optuna.distributions.IntDistribution(1, 9, step=2),
    "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
}
FIRST = {"x": 0.5, "n": 3, "kind": "b"}
NAMES = count()
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    skip_without()
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["journal", "sqlite", "postgres"])
def location(request, tmp_path):
    """A storage location, as in the option ``storage``."""
    if request.param == "postgres":
        return request.getfixturevalue("server")
    return str(tmp_path / "j") if request.param == "journal" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def name():
    return f"study {next(NAMES)}"


def open_queue(location, name):
    storage = open_storage(location)
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
    return TrialQueue(
        study, storage, lambda number: RandomSampler(seed=number), write_lock(location)
    )


def run_all(location, name, ready):
    """A worker that runs every trial that it can claim."""
    queue = open_queue(location, name)
    ready.wait()
    while trial := queue.claim():
        queue.study.tell(trial, sample(trial, SPACE)["x"])


def hold_one(location, name, pipe):
    """A worker that begins a trial and never ends it."""
    queue = open_queue(location, name)
    trial = queue.claim()
    with queue.heartbeat(trial):
        pipe.send((trial.number, sample(trial, SPACE)))
        time.sleep(60)


def lose_one(location, name):
    """Kill a worker that runs a trial; returns the number and the values of the trial."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=hold_one, args=(location, name, there))
    process.start()
    found = here.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return found


def test_every_trial_is_run_by_one_worker_and_the_target_count_is_kept(location, name):
    queue = open_queue(location, name)
    queue.enqueue(24, [FIRST])
    ready = SPAWN.Barrier(3)
    workers = [SPAWN.Process(target=run_all, args=(location, name, ready)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(queue.trials()) == len(queue.ended()) == 24
    assert {trial.state for trial in queue.trials()} == {TrialState.COMPLETE}
    assert queue.trials()[0].params == FIRST
    assert len({trial.values[0] for trial in queue.trials()}) == 24
    queue.enqueue(24)
    assert queue.claim() is None
    queue.enqueue(25)
    assert queue.claim().number == 24


def test_a_trial_whose_worker_was_killed_is_enqueued_again(location, name):
    queue = open_queue(location, name)
    queue.enqueue(2)
    number, values = lose_one(location, name)
    assert [trial.number for trial in queue.recover()] == [number]
    assert queue.recover() == []
    while trial := queue.claim():
        queue.study.tell(trial, sample(trial, SPACE)["x"])
    assert queue.target_count() == len(queue.ended()) == 2
    assert [trial.state.name for trial in queue.trials()] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert queue.trials()[2].params == values
    assert "is gone" in queue.trials()[number].user_attrs["lost"]


def test_a_lost_trial_keeps_its_position_in_the_queue(location, name):
    """Otherwise the default would run last after the first worker was stopped."""
    queue = open_queue(location, name)
    queue.enqueue(2)
    lose_one(location, name)
    queue.recover()
    retry = queue.claim()
    queue.release(retry)
    queue.recover()
    third, other = queue.claim(), queue.claim()
    assert [retry.number, third.number, other.number] == [2, 3, 1]


def test_a_lost_trial_is_enqueued_when_the_process_that_marked_it_was_killed(
    location, name, monkeypatch
):
    queue = open_queue(location, name)
    queue.enqueue(1)
    lose_one(location, name)
    monkeypatch.setattr(TrialQueue, "_enqueue_lost", lambda self: None)
    assert len(queue.recover()) == 1
    monkeypatch.undo()
    assert queue.remaining() == 0
    later = open_queue(location, name)
    later.enqueue(1)
    later.recover()
    assert len(later.trials(TrialState.WAITING)) == 1 == later.remaining()


def test_a_trial_that_lost_three_workers_fails(location, name):
    queue = open_queue(location, name)
    queue.enqueue(1)
    lost = []
    for _ in range(MAX_ATTEMPTS):
        lose_one(location, name)
        lost += queue.recover()
    assert [trial.retried for trial in lost] == [True] * (MAX_ATTEMPTS - 1) + [False]
    assert queue.claim() is None
    (last,) = queue.ended()
    assert last.state == TrialState.FAIL
    assert "it has lost 3 workers" in last.user_attrs["failure"]
    assert len(queue.trials()) == MAX_ATTEMPTS


def test_a_stopped_worker_releases_its_trial_without_counting_an_attempt(location, name):
    queue = open_queue(location, name)
    queue.enqueue(1, [FIRST])
    for _ in range(MAX_ATTEMPTS + 1):
        queue.release(queue.claim())
        assert queue.remaining() == 0
        queue.recover()
        assert queue.remaining() == 1
    trial = queue.claim()
    assert sample(trial, SPACE) == FIRST  # also if no worker has sampled them
    queue.study.tell(trial, 1.0)
    assert len(queue.ended()) == 1 and queue.recover() == []


def test_the_target_count_can_be_lowered(location, name):
    queue = open_queue(location, name)
    queue.enqueue(5)
    queue.study.tell(queue.claim(), 1.0)
    running = queue.claim()
    queue.enqueue(2)
    assert queue.claim() is None and queue.remaining() == 0
    queue.study.tell(running, 2.0)
    queue.enqueue(3)
    assert queue.remaining() == 1
    queue.study.tell(queue.claim(), 3.0)
    assert queue.claim() is None and len(queue.ended()) == 3


def test_a_worker_of_another_machine_is_lost_when_its_heartbeats_stop(location, name, monkeypatch):
    monkeypatch.setattr(trial_queue, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(trial_queue, "LOST_AFTER_SECONDS", 1.5)
    monkeypatch.setattr(Worker, "is_local", property(lambda self: False))
    queue = open_queue(location, name)
    queue.enqueue(1)
    trial = queue.claim()
    sample(trial, SPACE)
    with queue.heartbeat(trial):
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            assert queue.recover() == []
            time.sleep(0.1)
    time.sleep(0.1)
    queue.recover()
    time.sleep(1.8)
    assert [lost.number for lost in queue.recover()] == [0]
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        trial.report(1.0, 1)


def test_a_study_has_a_leader_until_the_leader_is_gone(location, name, monkeypatch):
    monkeypatch.setattr(trial_queue, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(trial_queue, "LOST_AFTER_SECONDS", 1.5)
    queue = open_queue(location, name)
    assert queue.elect_leader() is None and queue.run == ""
    with queue.lead("a run"):
        assert open_queue(location, name).leader() == Worker.current()
        monkeypatch.setattr(Worker, "is_local", property(lambda self: False))
        assert open_queue(location, name).leader() == Worker.current()
    assert open_queue(location, name).leader() is None
    assert open_queue(location, name).run == "a run"
    queue.study.set_user_attr(LEADER, vars(Worker.current()))  # as if it was killed
    assert open_queue(location, name).leader() is None


def test_a_leader_that_registers_during_the_wait_is_found(location, name, monkeypatch):
    monkeypatch.setattr(Worker, "is_local", property(lambda self: False))
    queue, gone = open_queue(location, name), Worker("elsewhere", 1, 0.0)
    queue.study.set_user_attr(LEADER, vars(gone))
    other = threading.Timer(
        1.0, lambda: open_queue(location, name).study.set_user_attr(LEADER, vars(Worker.current()))
    )
    other.start()
    assert queue.leader() == Worker.current()
    other.join()


def test_heartbeats_continue_after_an_error_of_the_storage(monkeypatch, capsys):
    monkeypatch.setattr(trial_queue, "HEARTBEAT_SECONDS", 0.01)
    written = []

    def write(count):
        if count == 2:
            raise OSError("no connection")
        written.append(count)

    with trial_queue._heartbeats(write):
        deadline = time.monotonic() + 20
        while len(written) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert written[:4] == [1, 3, 4, 5]
    assert "does not answer: no connection. Retrying." in capsys.readouterr().out


def test_a_worker_is_alive_after_the_clock_was_set(monkeypatch):
    worker = Worker.current()
    for name in ("create_time", "boot_time"):
        there = psutil.Process if name == "create_time" else psutil
        real = getattr(there, name)
        monkeypatch.setattr(there, name, lambda *own, real=real: real(*own) + 7200)
    assert worker.is_alive()
    assert not Worker(worker.machine, worker.pid, worker.since - 60).is_alive()


def test_a_journal_with_an_incomplete_last_line_loses_only_that_line(tmp_path, name):
    location = tmp_path / "folder" / "j"
    location.parent.mkdir()
    open_queue(str(location), name).enqueue(2)
    whole = location.read_bytes()
    location.write_bytes(whole + whole.splitlines()[-1][:-9])
    queue = open_queue(str(location), name)
    assert queue.remaining() == 2
    queue.study.tell(queue.claim(), 1.0)
    assert len(open_queue(str(location), name).ended()) == 1


def test_a_journal_can_be_opened_after_its_writer_was_killed_with_the_lock(
    tmp_path, name, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    short_lock = partial(JournalFileSymlinkLock, grace_period=1)
    monkeypatch.setattr("tracking.tuning.storage.JournalFileSymlinkLock", short_lock)
    open_queue("folder/j", name).storage._backend._lock.acquire()  # never released
    assert open_queue("folder/j", name).remaining() == 0


def offer_to_lead(location, name, ready, found):
    """A candidate; reports its process id and that of the leader."""
    queue = open_queue(location, name)
    ready.wait()
    leader = queue.elect_leader()
    found.put((os.getpid(), leader.pid if leader else os.getpid()))
    ready.wait()


def test_one_of_two_simultaneous_candidates_becomes_the_leader(location, name):
    ready, found = SPAWN.Barrier(2), SPAWN.Queue()
    both = [
        SPAWN.Process(target=offer_to_lead, args=(location, name, ready, found)) for _ in range(2)
    ]
    for process in both:
        process.start()
    leaders = dict(found.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    assert len(set(leaders.values())) == 1 and set(leaders.values()) < set(leaders)


def open_at_once(location, ready):
    """Create a study in an empty database."""
    ready.wait()
    open_queue(location, "the first")


def test_several_processes_can_open_an_empty_database_at_once(location):
    if location.startswith("postgresql"):
        with create_engine(location, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("CREATE DATABASE empty"))
        location = location.replace("/postgres", "/empty")
    ready = SPAWN.Barrier(4)
    processes = [SPAWN.Process(target=open_at_once, args=(location, ready)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_an_unusable_storage_is_named_without_its_password():
    with pytest.raises(ValueError, match=r"The storage postgresql.* cannot be used") as refused:
        open_storage("postgresql+psycopg2://nobody:secret@127.0.0.1:1/none")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match=r"there is no folder /nowhere/at; create it first"):
        open_storage("/nowhere/at/all.journal")
