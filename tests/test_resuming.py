"""A training by ``mlflow run``, killed and started again: one run, as if nothing had been."""

import os
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import psutil
import pytest
from projects import command_of
from safetensors.torch import load_file

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


def kill_after_epoch(store, environment, epoch):
    """Start a training and kill it, and all that it started, once an epoch is logged."""
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
    for child in (*psutil.Process(process.pid).children(recursive=True), process):
        os.kill(child.pid, signal.SIGKILL)
    process.wait(30)
    return new[0].info.run_id


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
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/model"))
    return load_file(next(folder.rglob("model.safetensors")))


def test_killed_and_started_again_it_is_one_run_as_if_nothing_had_been(store, environment):
    _, whole = train(store, environment, resume="never")
    killed = kill_after_epoch(store, environment, 1)
    said, wrapper = train(store, environment)
    assert f"Carrying on run {killed}" in said
    assert wrapper.info.run_id != killed
    assert wrapper.data.tags["resumes"] == killed
    assert "val_mae" not in wrapper.data.metrics

    resumed = mlflow.get_run(killed)
    assert resumed.info.status == "FINISHED"
    assert values_of(resumed) == values_of(whole)
    assert steps_of(resumed) == [0, 1, 2, 3, 4]
    ours, theirs = weights_of(resumed), weights_of(whole)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert not list(Path(environment["SUPERVISION_CACHE"]).glob("checkpoints/*"))
