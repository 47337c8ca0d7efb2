"""A training by ``mlflow run``, killed and started again: one run, as if nothing had been."""

import os
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import psutil
import pytest
import torch
from projects import command_of
from safetensors.torch import load_file

from tracking.serving.downloads import download

TRAIN = {"dataset": "classics", "limit": 24, "epochs": 4, "weights": "none", "register": "false"}


@pytest.fixture(scope="module")
def environment(store, tmp_path_factory):
    """That of the store, with a cache of our own: what lies there must not be carried on."""
    return store[1] | {"SUPERVISION_CACHE": str(tmp_path_factory.mktemp("cache"))}


def train(store, environment, **changes):
    """Train to the end; returns what was said and the newest run."""
    done = subprocess.run(
        command_of("train_alignn", **(TRAIN | changes)), cwd=store[0], env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr, runs()[0]


def runs():
    return mlflow.search_runs(output_format="list")


def stop_after_epoch(store, environment, epoch, stop):
    """Start a training, and stop it by what ``stop`` does once an epoch is logged."""
    before = {run.info.run_id for run in runs()}
    process = subprocess.Popen(
        command_of("train_alignn", **TRAIN), cwd=store[0], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(2400):
        new = [run for run in runs() if run.info.run_id not in before]
        if new and epoch in steps_of(new[0]):
            break
        time.sleep(0.05)
        assert process.poll() is None
    stop(psutil.Process(process.pid))
    process.wait(60)
    return new[0].info.run_id


def kill(launcher):
    """All of it, at once."""
    for process in (*launcher.children(recursive=True), launcher):
        os.kill(process.pid, signal.SIGKILL)


def terminate(launcher):
    """The training, as a batch system or a shutdown does; what started it ends with it."""
    training = next(p for p in launcher.children(True) if "entrypoints.train_alignn" in p.cmdline())
    training.send_signal(signal.SIGTERM)


def steps_of(run, name="val_mae"):
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [metric.step for metric in history]


def values_of(run):
    """Every metric that is no time, step by step."""
    client = mlflow.MlflowClient()
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
        if "seconds" not in name and "minutes" not in name and not name.startswith("system/")
    }


def weights_of(run):
    folder = download(f"runs:/{run.info.run_id}/model")
    return load_file(next(folder.rglob("model.safetensors")))


@pytest.fixture(scope="module")
def whole(store, environment):
    """A run that nothing stopped."""
    return train(store, environment, resume="never")[1]


def carried_on(store, environment, stopped, whole):
    """Start the same command again; returns the stopped run, which it must have carried on."""
    said, wrapper = train(store, environment)
    assert f"Carrying on run {stopped}" in said
    assert wrapper.info.run_id != stopped
    assert wrapper.data.tags["resumes"] == stopped
    assert "val_mae" not in wrapper.data.metrics
    resumed = mlflow.get_run(stopped)
    assert resumed.info.status == "FINISHED"
    assert values_of(resumed) == values_of(whole)
    ours, theirs = weights_of(resumed), weights_of(whole)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert not list(Path(environment["SUPERVISION_CACHE"]).glob("checkpoints/*"))
    return resumed


def test_killed_and_started_again_it_is_one_run_as_if_nothing_had_been(store, environment, whole):
    killed = stop_after_epoch(store, environment, 1, kill)
    resumed = carried_on(store, environment, killed, whole)
    assert steps_of(resumed) == [0, 1, 2, 3, 4]


def test_terminated_it_writes_down_where_it_is_and_ends_soon(store, environment, whole):
    stopped = stop_after_epoch(store, environment, 2, terminate)
    folder = Path(mlflow.get_run(stopped).data.tags["checkpoints"])
    state = torch.load(folder / "last.pt", weights_only=True)
    assert len(state["progress"]["history"]) >= 3
    carried_on(store, environment, stopped, whole)


def test_two_processes_are_one_run(store, environment, whole):
    """The head, which the first of them fits, is the same; dropout then differs."""
    before = len(runs())
    said, run = train(
        store, environment, resume="never", torchrun="--standalone --nproc-per-node 2"
    )
    assert len(runs()) == before + 1
    assert run.info.status == "FINISHED"
    assert steps_of(run) == [0, 1, 2, 3, 4]
    assert values_of(run)["val_mae"][0] == values_of(whole)["val_mae"][0]
    names = ("materials", "structures", "split_hash", "parameters")
    assert [run.data.params[n] for n in names] == [whole.data.params[n] for n in names]
    assert said.count("Split random by") == 1
