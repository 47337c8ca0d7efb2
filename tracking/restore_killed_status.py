"""Sets the status of an interrupted run to KILLED after ``mlflow run`` has ended.

    python -m tracking.restore_killed_status RUN_ID PARENT_PID

``mlflow run`` calls ``RunStatus.is_terminated("KILLED")`` (MLflow 3.17), which compares a string
with integers and is always false. It then overwrites KILLED, which an interrupted training has
just set, with FAILED. This module waits for the end of ``mlflow run`` and sets KILLED again.
"""

import contextlib
import subprocess
import sys

import psutil
from mlflow import MlflowClient
from mlflow.entities import RunStatus

from supervision.runtime.subprocesses import child_environment

WAIT_SECONDS = 60


def start(run_id: str, parent: int) -> None:
    """Start this module in a new session, so that signals to our process group do not stop it."""
    command = [sys.executable, "-m", "tracking.restore_killed_status", run_id, str(parent)]
    subprocess.Popen(
        command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(run_id: str, parent: int) -> None:
    """Wait for the process ``parent`` to end, then set the run's status to KILLED."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(parent).wait(WAIT_SECONDS)
    MlflowClient().set_terminated(run_id, RunStatus.to_string(RunStatus.KILLED))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
