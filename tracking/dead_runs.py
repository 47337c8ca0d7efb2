"""Closes runs whose process was killed before it could end them.

Every run has a tag that identifies its process. MLflow lists a run as RUNNING until its process
ends it. The next command on the same tracking store therefore closes the runs whose process is
certainly gone.
"""

import json

import mlflow
from mlflow.entities import RunStatus

from tracking.processes import Worker

PROCESS_TAG = "process"
PROCESS_GONE = "The process of this run is gone: it was killed, or its machine stopped."


def close_dead_runs() -> None:
    """Set the status of runs to KILLED whose process ran on this machine and is gone."""
    running = RunStatus.to_string(RunStatus.RUNNING)
    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"attributes.status = '{running}' and tags.{PROCESS_TAG} LIKE '%'",
        output_format="list",
    )
    client = mlflow.MlflowClient()
    for run in found:
        if Worker(**json.loads(run.data.tags[PROCESS_TAG])).is_gone():
            client.set_tag(run.info.run_id, "failure", PROCESS_GONE)
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def process_tag() -> dict[str, str]:
    """The tag that identifies this process, for the runs that it creates."""
    return {PROCESS_TAG: json.dumps(vars(Worker.current()))}
