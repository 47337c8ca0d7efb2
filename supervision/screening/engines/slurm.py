"""A job array on a Slurm cluster, a task of the array for each shard, by submitit.

The folder of the screening must be the same on all machines.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from supervision.runtime.errors import ExpectedError, one_line
from supervision.screening.engines.finished import rows_of_finished, settings_of
from supervision.screening.engines.local import one_thread
from supervision.screening.worker import ShardTask, screen_shard

JOBS_AT_ONCE = 64  # unless --workers says another number
CLUSTER = "cluster"  # the setting that names another executor of submitit: local, in tests


def run(tasks: Sequence[ShardTask], workers: int, settings: str) -> Iterator[int]:
    """Screen shards; yields the rows of each shard when it is done.

    Args:
        workers: the most jobs at once; 0 for ``JOBS_AT_ONCE``.
        settings: parameters of the jobs, such as ``partition=cpu,time=60`` (minutes).

    Raises ExpectedError with one sentence where submitit or Slurm is missing, and where jobs fail.
    """
    executor = _executor(tasks, workers, settings_of(settings))
    with one_thread():
        jobs = executor.map_array(screen_shard, tasks)
    try:
        yield from rows_of_finished(tasks, lambda: not all(job.done() for job in jobs))
        _check(jobs)
    except BaseException:
        for job in jobs:
            job.cancel(check=False)
        raise


def _executor(tasks: Sequence[ShardTask], workers: int, settings: dict[str, str]) -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ExpectedError(
            "submitit is not installed; pip install 'supervision-tc[slurm]', or use engine=local."
        ) from error
    cluster = settings.pop(CLUSTER, "slurm")
    folder = tasks[0].result.parents[1] / "slurm"  # logs of the jobs
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    except RuntimeError as error:
        raise ExpectedError(
            f"There is no cluster here ({one_line(error)}); use engine=local."
        ) from error
    executor.update_parameters(
        name="screen",
        timeout_min=int(settings.pop("time", 24 * 60)),
        cpus_per_task=1,
        slurm_array_parallelism=workers or JOBS_AT_ONCE,
        **{f"slurm_{name}": value for name, value in settings.items()},
    )
    return executor


def _check(jobs: Sequence[Any]) -> None:
    """Raise ExpectedError for the first job that failed."""
    for job in jobs:
        error = job.exception()
        if error is not None:
            raise ExpectedError(
                f"Job {job.job_id} failed ({one_line(error)}); its log is {job.paths.stderr}. Give "
                "the same command again: it goes on from here."
            )
