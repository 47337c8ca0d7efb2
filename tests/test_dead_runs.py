"""Runs whose process was killed are closed by the next command on the same store."""

import json
import os
import signal
import subprocess
import sys
import time

import mlflow
import psutil
import pytest
from projects import ROOT, command_of

from tracking import runs
from tracking.dead_runs import PROCESS_TAG, close_dead_runs, process_tag
from tracking.processes import Worker, machine_id

pytestmark = pytest.mark.slow

HOLD_RUN = """
import sys, time
from tracking.runs import tracked_run
with tracked_run("held"):
    print("begun", flush=True)
    time.sleep(600)
"""


def start_holding_run(environment):
    """Start a process with a run that does not end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_RUN],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def status(run):
    return mlflow.get_run(run).info.status


def newest():
    found = mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1)
    return found[0].info.run_id


@pytest.fixture
def held(store):
    """A run of another process, and that process."""
    process = start_holding_run(store[1])
    yield newest(), process
    if process.poll() is None:
        kill(process)


def test_the_run_of_a_killed_process_is_closed_by_the_next_command(store, held):
    run, process = held
    kill(process)
    assert status(run) == "RUNNING"
    command = [sys.executable, "-m", "entrypoints.render", "--limit", "2", "--views", "1"]
    subprocess.run(command, cwd=ROOT, env=store[1], check=True, capture_output=True)
    assert status(run) == "KILLED"
    assert "gone" in mlflow.get_run(run).data.tags["failure"]


def test_the_run_of_a_living_process_is_not_closed(held):
    close_dead_runs()
    assert status(held[0]) == "RUNNING"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"machine": "another/" + machine_id().partition("/")[2]}, "RUNNING"),
        ({"machine": machine_id().rpartition("/")[0] + "/an-earlier-boot"}, "KILLED"),
        ({"since": -1000.0}, "KILLED"),
        ({}, "RUNNING"),
    ],
    ids=["another machine", "before a reboot", "its process id was reused", "this process"],
)
def test_only_runs_of_this_machine_are_closed(store, change, expected):
    client = mlflow.MlflowClient()
    tag = json.dumps(vars(Worker.current()) | change)
    run = client.create_run("0", tags={PROCESS_TAG: tag}).info.run_id
    close_dead_runs()
    assert status(run) == expected
    client.set_terminated(run)


def test_a_run_has_the_tag_of_its_process_and_is_not_closed_by_it(store):
    with runs.tracked_run("ours"):
        assert runs.tag(PROCESS_TAG) == process_tag()[PROCESS_TAG]
        close_dead_runs()
        assert status(runs.run_id()) == "RUNNING"
    assert status(newest()) == "FINISHED"


@pytest.mark.long
def test_a_run_and_the_killed_run_that_resumed_it_are_both_closed(store, tmp_path):
    """``mlflow run`` and its training are both killed, so neither ends its run."""
    environment = store[1] | {"SUPERVISION_CACHE": str(tmp_path)}
    settings = {"dataset": "classics", "limit": 24, "epochs": 500, "patience": 500,
                "weights": "none", "register": "false"}  # fmt: skip
    pairs = []
    for _ in range(2):
        process = subprocess.Popen(
            command_of("train_alignn", **settings), cwd=store[0], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_epochs(process, *pairs)
        pairs.append(newest())
        members = psutil.Process(process.pid).children(recursive=True)
        for member in [*members, process]:
            os.kill(member.pid, signal.SIGKILL)
        process.wait(30)
        psutil.wait_procs(members, 30)
    first, wrapper = pairs
    assert mlflow.get_run(wrapper).data.tags["resumes"] == first
    assert status(wrapper) == status(first) == "RUNNING"
    close_dead_runs()
    assert status(wrapper) == status(first) == "KILLED"


def wait_for_epochs(process, *resumed):
    """Wait until a training has logged an epoch or, if it resumes a run, runs as that one."""
    for _ in range(1200):
        assert process.poll() is None
        runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
        running = {run.info.run_id: run.data for run in runs if run.info.status == "RUNNING"}
        if resumed:
            begun = any("resumes" in data.tags for data in running.values())
            if begun and running.keys() >= set(resumed):
                return
        elif any("val_mae" in data.metrics for data in running.values()):
            return
        time.sleep(0.1)
    pytest.fail("the training logged no epoch in 120 s")
