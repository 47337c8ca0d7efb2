"""Set the status of an interrupted run to KILLED once ``mlflow run`` has ended.

    python -m tracking.restore_killed_status RUN_ID PARENT_PID

``mlflow run`` asks whether the run it waited for is terminated by comparing a text with numbers
(``RunStatus.is_terminated("KILLED")``, MLflow 3.17), always hears no, and writes FAILED over the
KILLED that an interrupted training has just set. This waits until it is gone and sets it again.
"""

import contextlib
import subprocess
import sys

import psutil
from mlflow import MlflowClient
from mlflow.entities import RunStatus

PATIENCE = 60  # seconds


def start(run_id: str, parent: int) -> None:
    """Start this module as a process that no signal to our group reaches."""
    command = [sys.executable, "-m", "tracking.restore_killed_status", run_id, str(parent)]
    quiet = subprocess.DEVNULL
    subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)


def main(run_id: str, parent: int) -> None:
    """Wait for ``parent`` to end, then set the run's status to KILLED."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(parent).wait(PATIENCE)
    MlflowClient().set_terminated(run_id, RunStatus.to_string(RunStatus.KILLED))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
