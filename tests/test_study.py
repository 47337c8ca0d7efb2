"""Trials that several processes share out, on every storage: each is counted once, none is lost."""

import multiprocessing
import os
import signal
import time
from itertools import count

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from postgres import postgres, skip_without

from tracking import study as module
from tracking.study import ATTEMPTS, Board, Worker, guard_of, open_storage, sample

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
    return Board(study, storage, lambda number: RandomSampler(seed=number), guard_of(place))


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


def test_who_marks_a_trial_as_lost_may_be_killed_before_it_waits_again(place, name, monkeypatch):
    board = board_of(place, name)
    board.want(1)
    lose_one(place, name)
    monkeypatch.setattr(Board, "_want_again", lambda self: None)
    assert len(board.recover()) == 1
    monkeypatch.undo()
    assert board.trials(TrialState.WAITING) == []
    later = board_of(place, name)
    later.recover()
    later.recover()
    assert len(later.trials(TrialState.WAITING)) == 1 == later.wanted()


def test_a_trial_that_kills_its_workers_is_given_up(place, name):
    board = board_of(place, name)
    board.want(1)
    for _ in range(ATTEMPTS):
        lose_one(place, name)
        board.recover()
    assert board.claim() is None
    (last,) = board.counted()
    assert last.state == TrialState.FAIL
    assert len(board.trials()) == ATTEMPTS


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
    assert board.leader() is None and board.run == ""
    with board.lead("a run"):
        assert board_of(place, name).leader() == Worker.this()
        monkeypatch.setattr(Worker, "here", property(lambda self: False))
        assert board_of(place, name).leader() == Worker.this()
    assert board_of(place, name).leader() is None
    assert board_of(place, name).run == "a run"
    board.study.set_user_attr(module.LEADER, vars(Worker.this()))  # it was killed
    assert board_of(place, name).leader() is None


def test_a_storage_that_cannot_be_reached_is_said():
    with pytest.raises(ValueError, match=r"The storage postgresql.* cannot be used") as refused:
        open_storage("postgresql+psycopg2://nobody:secret@127.0.0.1:1/none")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match=r"cannot be used: .*No such file"):
        open_storage("/nowhere/at/all.journal")
