"""A run whose process was killed outright is closed by the next start of anything on its store."""

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
from tracking.dead_runs import PROCESS, close_dead_runs, this_process
from tracking.processes import Worker, machine

HOLD = """
import sys, time
from tracking.runs import tracked_run
with tracked_run("held"):
    print("begun", flush=True)
    time.sleep(600)
"""


def hold(environment):
    """A process that holds a run open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def status(run):
    return mlflow.get_run(run).info.status


def newest():
    return mlflow.search_runs(output_format="list", max_results=1)[0].info.run_id


@pytest.fixture
def held(store):
    """A run that is under way in another process, and that process."""
    process = hold(store[1])
    yield newest(), process
    if process.poll() is None:
        kill(process)


def test_a_killed_run_is_closed_by_the_next_start(store, held):
    run, process = held
    kill(process)
    assert status(run) == "RUNNING", "nobody could say so yet"
    command = [sys.executable, "-m", "entrypoints.render", "--limit", "2", "--views", "1"]
    subprocess.run(command, cwd=ROOT, env=store[1], check=True, capture_output=True)
    assert status(run) == "KILLED"
    assert "gone" in mlflow.get_run(run).data.tags["failure"]


def test_a_run_under_way_is_left_alone(held):
    close_dead_runs()
    assert status(held[0]) == "RUNNING"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"machine": "another/" + machine().partition("/")[2]}, "RUNNING"),
        ({"machine": machine().rpartition("/")[0] + "/an-earlier-start"}, "KILLED"),
        ({"since": -1000.0}, "KILLED"),
        ({}, "RUNNING"),
    ],
    ids=["of another machine", "before a restart", "its id is another's now", "this one"],
)
def test_only_a_process_of_this_machine_can_be_known_to_be_gone(store, change, expected):
    client = mlflow.MlflowClient()
    tag = json.dumps(vars(Worker.this()) | change)
    run = client.create_run("0", tags={PROCESS: tag}).info.run_id
    close_dead_runs()
    assert status(run) == expected
    client.set_terminated(run)


def test_the_run_of_this_process_is_its_own(store):
    with runs.tracked_run("ours"):
        assert runs.tag(PROCESS) == this_process()[PROCESS]
        close_dead_runs()
        assert status(runs.run_id()) == "RUNNING"
    assert status(newest()) == "FINISHED"


def test_a_killed_pair_that_carried_on_another_run_is_closed_with_it(store, tmp_path):
    """``mlflow run`` and its training, both killed: neither run says that it is finished."""
    environment = store[1] | {"SUPERVISION_CACHE": str(tmp_path)}
    settings = {"dataset": "classics", "limit": 24, "epochs": 500, "patience": 500,
                "weights": "none", "register": "false"}  # fmt: skip
    pairs = []
    for _ in range(2):
        process = subprocess.Popen(
            command_of("train_alignn", **settings), cwd=store[0], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_epochs(process, len(pairs))
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


def wait_for_epochs(process, carried_on):
    """Until the training has logged an epoch, and, if it carries on another, says so."""
    for _ in range(1200):
        assert process.poll() is None
        run = mlflow.get_run(newest())
        begun = "resumes" in run.data.tags if carried_on else "val_mae" in run.data.metrics
        if run.info.status == "RUNNING" and begun:
            return
        time.sleep(0.1)
    pytest.fail("it never came so far")
