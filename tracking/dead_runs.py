"""Runs whose process was killed outright: they would be RUNNING for good, and are closed here.

Every run has a tag that says which process it is of. Whoever starts next on the same machine and
store looks whether those processes still live.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

import mlflow
import psutil
from mlflow.entities import RunStatus

PROCESS = "process"  # a tag: host/namespace/pid/start
GONE = "The process of this run is gone: it was killed, or its machine stopped."
SAME_START = 1.0  # seconds; a process id is given again, with another start


def this_process() -> dict[str, str]:
    """The tag of the runs that this process makes."""
    started = psutil.Process().create_time()
    return {PROCESS: f"{_machine()}/{os.getpid()}/{started:.2f}"}


def close_dead_runs() -> None:
    """Set runs of this machine to KILLED whose process is gone."""
    running = RunStatus.to_string(RunStatus.RUNNING)
    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=(f"attributes.status = '{running}' and tags.{PROCESS} LIKE '{_machine()}/%'"),
        output_format="list",
    )
    client = mlflow.MlflowClient()
    for run in found:
        pid, started = run.data.tags[PROCESS].split("/")[-2:]
        if not _lives(int(pid), float(started)):
            client.set_tag(run.info.run_id, "failure", GONE)
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _machine() -> str:
    """This host, and on Linux the namespace within which its process ids mean something."""
    namespace = ""
    with suppress(OSError):  # not Linux
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    return f"{socket.gethostname()}/{namespace}"


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and abs(process.create_time() - started) <= SAME_START
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it is somebody's, so it is there
        return True
