"""Runs whose process was killed outright: they would be RUNNING for good, and are closed here.

Every run has a tag that says which process it is of. Whoever starts next on the same store closes
those whose process, as far as this machine can know, is gone.
"""

import json

import mlflow
from mlflow.entities import RunStatus

from tracking.processes import Worker

PROCESS = "process"  # a tag
GONE = "The process of this run is gone: it was killed, or its machine stopped."


def this_process() -> dict[str, str]:
    """The tag of the runs that this process makes."""
    return {PROCESS: json.dumps(vars(Worker.this()))}


def close_dead_runs() -> None:
    """Set runs to KILLED whose process was one of this machine, and is gone."""
    running = RunStatus.to_string(RunStatus.RUNNING)
    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"attributes.status = '{running}' and tags.{PROCESS} LIKE '%'",
        output_format="list",
    )
    client = mlflow.MlflowClient()
    for run in found:
        if Worker(**json.loads(run.data.tags[PROCESS])).is_gone():
            client.set_tag(run.info.run_id, "failure", GONE)
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
