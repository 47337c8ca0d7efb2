"""Trials that several processes share out, on every storage: each is counted once, none is lost."""

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

from tracking.tuning import study as module
from tracking.tuning.storage import guard_of, open_storage
from tracking.tuning.study import ATTEMPTS, TrialQueue, Worker, sample

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
def place(request, tmp_path):
    """A storage, as a user names it."""
    if request.param == "postgres":
        return request.getfixturevalue("server")
    return str(tmp_path / "j") if request.param == "journal" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def name():
    return f"study {next(NAMES)}"


def board_of(place, name):
    storage = open_storage(place)
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
    return TrialQueue(study, storage, lambda number: RandomSampler(seed=number), guard_of(place))


def take_all(place, name, ready):
    """A worker: every trial that it can get."""
    board = board_of(place, name)
    ready.wait()
    while trial := board.claim():
        board.study.tell(trial, sample(trial, SPACE)["x"])


def take_one(place, name, pipe):
    """A worker that begins a trial, and is killed over it."""
    board = board_of(place, name)
    trial = board.claim()
    with board.pulse(trial):
        pipe.send((trial.number, sample(trial, SPACE)))
        time.sleep(60)


def lose_one(place, name):
    """Have a worker killed over a trial; returns its number and its values."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=take_one, args=(place, name, there))
    process.start()
    found = here.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return found


def test_every_trial_is_taken_once_and_the_budget_kept(place, name):
    board = board_of(place, name)
    board.want(24, [FIRST])
    ready = SPAWN.Barrier(3)
    workers = [SPAWN.Process(target=take_all, args=(place, name, ready)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(board.trials()) == len(board.counted()) == 24
    assert {trial.state for trial in board.trials()} == {TrialState.COMPLETE}
    assert board.trials()[0].params == FIRST
    assert len({trial.values[0] for trial in board.trials()}) == 24
    board.want(24)
    assert board.claim() is None
    board.want(25)
    assert board.claim().number == 24


def test_a_trial_whose_worker_was_killed_waits_again(place, name):
    board = board_of(place, name)
    board.want(2)
    number, values = lose_one(place, name)
    assert [trial.number for trial in board.recover()] == [number]
    assert board.recover() == []
    while trial := board.claim():
        board.study.tell(trial, sample(trial, SPACE)["x"])
    assert board.wanted() == len(board.counted()) == 2
    assert [trial.state.name for trial in board.trials()] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert board.trials()[2].params == values
    assert "is gone" in board.trials()[number].user_attrs["lost"]


def test_what_was_lost_is_tried_before_what_was_not_begun(place, name):
    """Else the default would be tried last, where the first worker was stopped."""
    board = board_of(place, name)
    board.want(2)
    lose_one(place, name)
    board.recover()
    again = board.claim()
    board.give_back(again)
    board.recover()
    third, other = board.claim(), board.claim()
    assert [again.number, third.number, other.number] == [2, 3, 1]


def test_who_marks_a_trial_as_lost_may_be_killed_before_it_waits_again(place, name, monkeypatch):
    board = board_of(place, name)
    board.want(1)
    lose_one(place, name)
    monkeypatch.setattr(TrialQueue, "_want_again", lambda self: None)
    assert len(board.recover()) == 1
    monkeypatch.undo()
    assert board.left() == 0
    later = board_of(place, name)
    later.want(1)
    later.recover()
    assert len(later.trials(TrialState.WAITING)) == 1 == later.left()


def test_a_trial_that_kills_its_workers_is_given_up(place, name):
    board = board_of(place, name)
    board.want(1)
    told = []
    for _ in range(ATTEMPTS):
        lose_one(place, name)
        told += board.recover()
    assert [lost.again for lost in told] == [True] * (ATTEMPTS - 1) + [False]
    assert board.claim() is None
    (last,) = board.counted()
    assert last.state == TrialState.FAIL
    assert "it has lost 3 workers" in last.user_attrs["failure"]
    assert len(board.trials()) == ATTEMPTS


def test_a_stopped_worker_gives_its_trial_back_however_often(place, name):
    board = board_of(place, name)
    board.want(1, [FIRST])
    for _ in range(ATTEMPTS + 1):
        board.give_back(board.claim())
        assert board.left() == 0
        board.recover()
        assert board.left() == 1
    trial = board.claim()
    assert sample(trial, SPACE) == FIRST  # also where nobody had begun to read them
    board.study.tell(trial, 1.0)
    assert len(board.counted()) == 1 and board.recover() == []


def test_fewer_trials_may_be_wanted_later(place, name):
    board = board_of(place, name)
    board.want(5)
    board.study.tell(board.claim(), 1.0)
    running = board.claim()
    board.want(2)
    assert board.claim() is None and board.left() == 0
    board.study.tell(running, 2.0)
    board.want(3)
    assert board.left() == 1
    board.study.tell(board.claim(), 3.0)
    assert board.claim() is None and len(board.counted()) == 3


def test_a_worker_elsewhere_is_there_as_long_as_its_pulse_is_heard(place, name, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    monkeypatch.setattr(module, "SILENT", 1.5)
    monkeypatch.setattr(Worker, "here", property(lambda self: False))
    board = board_of(place, name)
    board.want(1)
    trial = board.claim()
    sample(trial, SPACE)
    with board.pulse(trial):
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert board.recover() == []
            time.sleep(0.1)
    time.sleep(0.1)
    board.recover()
    time.sleep(1.8)
    assert [lost.number for lost in board.recover()] == [0]
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        trial.report(1.0, 1)


def test_who_leads_is_known_until_it_is_gone(place, name, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    monkeypatch.setattr(module, "SILENT", 1.5)
    board = board_of(place, name)
    assert board.stand() is None and board.run == ""
    with board.lead("a run"):
        assert board_of(place, name).leader() == Worker.this()
        monkeypatch.setattr(Worker, "here", property(lambda self: False))
        assert board_of(place, name).leader() == Worker.this()
    assert board_of(place, name).leader() is None
    assert board_of(place, name).run == "a run"
    board.study.set_user_attr(module.LEADER, vars(Worker.this()))  # it was killed
    assert board_of(place, name).leader() is None


def test_who_takes_over_while_one_listens_is_who_leads(place, name, monkeypatch):
    monkeypatch.setattr(Worker, "here", property(lambda self: False))
    board, gone = board_of(place, name), Worker("elsewhere", 1, 0.0)
    board.study.set_user_attr(module.LEADER, vars(gone))
    other = threading.Timer(
        1.0, lambda: board_of(place, name).study.set_user_attr(module.LEADER, vars(Worker.this()))
    )
    other.start()
    assert board.leader() == Worker.this()
    other.join()


def test_a_pulse_outlives_a_storage_that_does_not_answer(monkeypatch, capsys):
    monkeypatch.setattr(module, "BEAT", 0.01)
    heard = []

    def beat(count):
        if count == 2:
            raise OSError("no connection")
        heard.append(count)

    with module._beating(beat):
        until = time.monotonic() + 20
        while len(heard) < 4 and time.monotonic() < until:
            time.sleep(0.01)
    assert heard[:4] == [1, 3, 4, 5]
    assert "does not answer, trying on: no connection" in capsys.readouterr().out


def test_a_clock_that_is_set_buries_nobody(monkeypatch):
    worker = Worker.this()
    for name in ("create_time", "boot_time"):
        there = psutil.Process if name == "create_time" else psutil
        real = getattr(there, name)
        monkeypatch.setattr(there, name, lambda *own, real=real: real(*own) + 7200)
    assert worker.lives()
    assert not Worker(worker.machine, worker.pid, worker.since - 60).lives()


def test_a_line_that_was_torn_as_it_was_written_costs_that_line_alone(tmp_path, name):
    place = tmp_path / "folder" / "j"
    place.parent.mkdir()
    board_of(str(place), name).want(2)
    whole = place.read_bytes()
    place.write_bytes(whole + whole.splitlines()[-1][:-9])
    board = board_of(str(place), name)
    assert board.left() == 2
    board.study.tell(board.claim(), 1.0)
    assert len(board_of(str(place), name).counted()) == 1


def test_a_journal_in_a_folder_can_be_opened_though_its_writer_was_killed(
    tmp_path, name, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    impatient = partial(JournalFileSymlinkLock, grace_period=1)
    monkeypatch.setattr("tracking.tuning.storage.JournalFileSymlinkLock", impatient)
    board_of("folder/j", name).storage._backend._lock.acquire()  # and is gone
    assert board_of("folder/j", name).left() == 0


def offer_to_lead(place, name, ready, found):
    """Another machine's process, as far as the others can tell."""
    board = board_of(place, name)
    ready.wait()
    leader = board.stand()
    found.put((os.getpid(), leader.pid if leader else os.getpid()))
    ready.wait()


def test_of_two_that_start_at_once_one_leads(place, name):
    ready, found = SPAWN.Barrier(2), SPAWN.Queue()
    both = [SPAWN.Process(target=offer_to_lead, args=(place, name, ready, found)) for _ in range(2)]
    for process in both:
        process.start()
    leaders = dict(found.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    assert len(set(leaders.values())) == 1 and set(leaders.values()) < set(leaders)


def open_at_once(place, ready):
    """The first of a study on an empty database."""
    ready.wait()
    board_of(place, "the first")


def test_an_empty_database_can_be_opened_by_several_at_once(place):
    if place.startswith("postgresql"):
        with create_engine(place, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("CREATE DATABASE empty"))
        place = place.replace("/postgres", "/empty")
    ready = SPAWN.Barrier(4)
    processes = [SPAWN.Process(target=open_at_once, args=(place, ready)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_storage_that_cannot_be_reached_is_said():
    with pytest.raises(ValueError, match=r"The storage postgresql.* cannot be used") as refused:
        open_storage("postgresql+psycopg2://nobody:secret@127.0.0.1:1/none")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match=r"there is no folder /nowhere/at; make it first"):
        open_storage("/nowhere/at/all.journal")
