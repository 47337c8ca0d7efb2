"""Features that running_trainings share: made once, kept whole, carried on, given up."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from supervision.training import feature_cache as module
from supervision.training.feature_cache import FeatureCache, remove_unread

SAMPLES = [("a.cif", 0), ("a.cif", 1), ("b.cif", 0)]
FEATURES = torch.arange(12.0).reshape(3, 4)
SPAWN = multiprocessing.get_context("spawn")


def never(_shelf):
    raise AssertionError("they were there")


@pytest.fixture
def frozen(tmp_path):
    return FeatureCache(tmp_path, {"made of": "this"})


def test_features_are_made_once(frozen, tmp_path):
    assert torch.equal(frozen.of(SAMPLES, lambda shelf: FEATURES), FEATURES)
    assert torch.equal(FeatureCache(tmp_path, {"made of": "this"}).of(SAMPLES, never), FEATURES)


@pytest.mark.parametrize(
    ("identity", "samples"),
    [({"made of": "that"}, SAMPLES), ({"made of": "this"}, SAMPLES[::-1])],
    ids=["another backbone", "another order"],
)
def test_other_features_are_not_taken_for_them(frozen, tmp_path, identity, samples):
    frozen.of(SAMPLES, lambda shelf: FEATURES)
    assert torch.equal(
        FeatureCache(tmp_path, identity).of(samples, lambda shelf: -FEATURES), -FEATURES
    )


def test_a_damaged_file_is_made_again(frozen, tmp_path):
    frozen.of(SAMPLES, lambda shelf: FEATURES)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    assert torch.equal(frozen.of(SAMPLES, lambda shelf: -FEATURES), -FEATURES)


def make_slowly(folder, pipe):
    """Put one on the shelf, say so, and be killed."""

    def make(shelf):
        shelf.every = 1
        assert shelf.load() == []
        shelf.add(FEATURES[:1])
        pipe.send("one")
        time.sleep(60)

    FeatureCache(folder, {"made of": "this"}).of(SAMPLES, make)


def test_what_a_killed_process_had_is_carried_on(frozen, tmp_path):
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=make_slowly, args=(tmp_path, there))
    process.start()
    assert here.recv() == "one"
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    def make(shelf):
        (first,) = shelf.load()
        return torch.cat([first, FEATURES[1:]])

    assert torch.equal(frozen.of(SAMPLES, make), FEATURES)
    assert list(tmp_path.glob("*.shelf")) == []


def take(folder, ready, made):
    ready.wait()

    def make(_shelf):
        made.put(os.getpid())
        time.sleep(0.5)
        return FEATURES

    FeatureCache(folder, {"made of": "this"}).of(SAMPLES, make)


def test_of_processes_that_ask_at_once_one_makes_them(tmp_path):
    ready, made = SPAWN.Barrier(3), SPAWN.Queue()
    processes = [SPAWN.Process(target=take, args=(tmp_path, ready, made)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    made.get(timeout=10)
    assert made.empty()


def test_what_nobody_has_read_for_a_week_is_given_up(frozen, tmp_path, monkeypatch):
    frozen.of(SAMPLES, lambda shelf: FEATURES)
    remove_unread(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    (path,) = tmp_path.glob("*.safetensors")
    os.utime(path, (0, 0))
    frozen.of(SAMPLES, never)  # reading is what counts
    remove_unread(tmp_path)
    monkeypatch.setattr(module, "UNREAD", -1)
    frozen.of(SAMPLES, never)
    remove_unread(tmp_path)
    assert list(tmp_path.iterdir()) == []
