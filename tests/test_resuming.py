"""Runs of ``mlflow run`` that are killed and restarted: one run, equal to an uninterrupted one."""

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

pytestmark = pytest.mark.slow

TRAIN = {"dataset": "classics", "limit": 24, "epochs": 4, "weights": "none", "register": "false"}


@pytest.fixture(scope="module")
def environment(store, tmp_path_factory):
    """The store's environment with a separate cache, so that no run of other tests is resumed."""
    return store[1] | {"SUPERVISION_CACHE": str(tmp_path_factory.mktemp("cache"))}


def train(store, environment, **changes):
    """Train to the end; returns the output and the newest run."""
    done = subprocess.run(
        command_of("train_alignn", **(TRAIN | changes)), cwd=store[0], env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr, runs()[0]


def runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


def stop_after_epoch(store, environment, epoch, stop):
    """Start a run and stop it with ``stop`` when an epoch has been logged; returns its id."""
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
    """Kill all processes of the run."""
    for process in (*launcher.children(recursive=True), launcher):
        os.kill(process.pid, signal.SIGKILL)


def terminate(launcher):
    """Terminate the training process, as a batch system does; its launcher then ends too."""
    training = next(p for p in launcher.children(True) if "entrypoints.train_alignn" in p.cmdline())
    training.send_signal(signal.SIGTERM)


def steps_of(run, name="val_mae"):
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [metric.step for metric in history]


def values_of(run):
    """All steps of every metric that is not a time."""
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
def uninterrupted(store, environment):
    """An uninterrupted run."""
    return train(store, environment, resume="never")[1]


def resume(store, environment, stopped, uninterrupted):
    """Run the same command again and check that it resumed the stopped run, which is returned."""
    output, wrapper = train(store, environment)
    assert f"Resuming run {stopped}" in output
    assert wrapper.info.run_id != stopped
    assert wrapper.data.tags["resumes"] == stopped
    assert "val_mae" not in wrapper.data.metrics
    resumed = mlflow.get_run(stopped)
    assert resumed.info.status == "FINISHED"
    assert values_of(resumed) == values_of(uninterrupted)
    ours, theirs = weights_of(resumed), weights_of(uninterrupted)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert not list(Path(environment["SUPERVISION_CACHE"]).glob("checkpoints/*"))
    return resumed


@pytest.mark.long
def test_a_killed_and_restarted_run_equals_an_uninterrupted_run(store, environment, uninterrupted):
    killed = stop_after_epoch(store, environment, 1, kill)
    resumed = resume(store, environment, killed, uninterrupted)
    assert steps_of(resumed) == [0, 1, 2, 3, 4]


def test_a_terminated_run_saves_its_state_and_resumes(store, environment, uninterrupted):
    stopped = stop_after_epoch(store, environment, 2, terminate)
    folder = Path(mlflow.get_run(stopped).data.tags["checkpoints"])
    state = torch.load(folder / "last.pt", weights_only=True)
    assert len(state["loop_state"]["history"]) >= 3
    resume(store, environment, stopped, uninterrupted)


@pytest.mark.long
def test_two_processes_log_one_run(store, environment, uninterrupted):
    """The head, fitted by the first process, is the same; dropout masks then differ."""
    before = len(runs())
    output, run = train(
        store, environment, resume="never", torchrun="--standalone --nproc-per-node 2"
    )
    assert len(runs()) == before + 1
    assert run.info.status == "FINISHED"
    assert steps_of(run) == [0, 1, 2, 3, 4]
    assert values_of(run)["val_mae"][0] == values_of(uninterrupted)["val_mae"][0]
    names = ("materials", "structures", "split_hash", "parameters")
    assert [run.data.params[n] for n in names] == [uninterrupted.data.params[n] for n in names]
    assert output.count("Split random by") == 1
