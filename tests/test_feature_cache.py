"""The cache of frozen features that runs share: computed once, resumed, removed when unused."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from supervision.training import feature_cache
from supervision.training.feature_cache import FeatureCache, remove_unread

SAMPLES = [("a.cif", 0), ("a.cif", 1), ("b.cif", 0)]
FEATURES = torch.arange(12.0).reshape(3, 4)
SPAWN = multiprocessing.get_context("spawn")


def fail(_partial):
    raise AssertionError("the features are in the cache")


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path, {"computed from": "this"})


def test_features_are_computed_once(cache, tmp_path):
    assert torch.equal(cache.get(SAMPLES, lambda _partial: FEATURES), FEATURES)
    assert torch.equal(
        FeatureCache(tmp_path, {"computed from": "this"}).get(SAMPLES, fail), FEATURES
    )


@pytest.mark.parametrize(
    ("identity", "samples"),
    [({"computed from": "that"}, SAMPLES), ({"computed from": "this"}, SAMPLES[::-1])],
    ids=["another backbone", "another order"],
)
def test_features_of_another_identity_or_order_are_computed_again(
    cache, tmp_path, identity, samples
):
    cache.get(SAMPLES, lambda _partial: FEATURES)
    assert torch.equal(
        FeatureCache(tmp_path, identity).get(samples, lambda _partial: -FEATURES), -FEATURES
    )


def test_features_of_a_damaged_file_are_computed_again(cache, tmp_path):
    cache.get(SAMPLES, lambda _partial: FEATURES)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    assert torch.equal(cache.get(SAMPLES, lambda _partial: -FEATURES), -FEATURES)


def compute_slowly(folder, pipe):
    """Save one partial result, report it, and wait to be killed."""

    def compute(partial):
        partial.save_every = 1
        assert partial.load() == []
        partial.add(FEATURES[:1])
        pipe.send("one")
        time.sleep(60)

    FeatureCache(folder, {"computed from": "this"}).get(SAMPLES, compute)


def test_partial_results_of_a_killed_process_are_used(cache, tmp_path):
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=compute_slowly, args=(tmp_path, there))
    process.start()
    assert here.recv() == "one"
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    def compute(partial):
        (first,) = partial.load()
        return torch.cat([first, FEATURES[1:]])

    assert torch.equal(cache.get(SAMPLES, compute), FEATURES)
    assert list(tmp_path.glob("*.shelf")) == []


def get_features(folder, ready, computed):
    ready.wait()

    def compute(_partial):
        computed.put(os.getpid())
        time.sleep(0.5)
        return FEATURES

    FeatureCache(folder, {"computed from": "this"}).get(SAMPLES, compute)


@pytest.mark.slow
def test_only_one_of_several_concurrent_processes_computes_the_features(tmp_path):
    ready, computed = SPAWN.Barrier(3), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=get_features, args=(tmp_path, ready, computed)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    computed.get(timeout=10)
    assert computed.empty()


def test_features_unread_for_a_week_are_removed(cache, tmp_path, monkeypatch):
    cache.get(SAMPLES, lambda _partial: FEATURES)
    remove_unread(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    (path,) = tmp_path.glob("*.safetensors")
    os.utime(path, (0, 0))
    cache.get(SAMPLES, fail)  # reading updates the time
    remove_unread(tmp_path)
    monkeypatch.setattr(feature_cache, "UNREAD_SECONDS", -1)
    cache.get(SAMPLES, fail)
    remove_unread(tmp_path)
    assert list(tmp_path.iterdir()) == []
