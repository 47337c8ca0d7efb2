"""Spark: a table of shards, each of which mapInArrow answers in a task of its own.

The folder of the screening must be the same on all machines. Spark moves no structures, only the
numbers of shards: the same function as in the other engines reads and writes them.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from supervision.answer.loaded import quiet
from supervision.runtime.errors import ExpectedError, one_line
from supervision.runtime.subprocesses import child_environment
from supervision.screening.engines.finished import rows_of_finished, settings_of
from supervision.screening.worker import ONE_THREAD, ShardTask, screen_shard

if TYPE_CHECKING:
    import pyarrow as pa

MASTER = "master"  # the setting that says where Spark runs; others are its configuration
QUIET = {
    "spark.log.level": "FATAL",  # an error is one sentence, which is raised here
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def run(tasks: Sequence[ShardTask], workers: int, settings: str) -> Iterator[int]:
    """Screen shards; yields the rows of each shard when it is done.

    Args:
        workers: 0; Spark has as many as its master says.
        settings: of Spark, such as ``master=local[2],spark.executor.memory=4g``.

    Raises ExpectedError with one sentence where Spark or Java is missing, and where tasks fail.
    """
    if workers:
        raise ValueError("workers: Spark has as many as engine_options=master=local[N] says.")
    with _session(settings_of(settings)) as session, ThreadPoolExecutor(1) as thread:
        shards = session.range(0, len(tasks), 1, len(tasks))  # a partition for each
        with quiet():  # it warns of pandas 3, which mapInArrow does not use
            answered = shards.mapInArrow(partial(_answer, tasks), "id long")
        job = thread.submit(answered.collect)
        try:
            yield from rows_of_finished(tasks, job.running)
            job.result()
        except _spark_errors() as error:
            reason = str(error).strip().splitlines()[-1]
            raise ExpectedError(
                f"A task of Spark failed ({reason[:200]}); give the same command again: it goes on "
                "from here."
            ) from error
        finally:
            session.sparkContext.cancelAllJobs()


def _answer(
    tasks: Sequence[ShardTask], batches: "Iterable[pa.RecordBatch]"
) -> "Iterator[pa.RecordBatch]":
    """Screen the shards with these numbers, in a process of Spark."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            screen_shard(tasks[number])
        yield batch


@contextmanager
def _session(settings: dict[str, str]) -> Iterator[Any]:
    """The session of Spark; one that is made here is stopped at the end."""
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise ExpectedError(
            "pyspark is not installed; pip install 'supervision-tc[spark]', or use engine=local."
        ) from error
    existing = SparkSession.getActiveSession()
    if existing:
        yield existing
        return
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    environment = ONE_THREAD | {"PYTHONPATH": child_environment()["PYTHONPATH"]}
    builder = SparkSession.builder.appName("supervision screen")
    if MASTER in settings:
        builder = builder.master(settings.pop(MASTER))
    for name, value in {
        **QUIET, **{f"spark.executorEnv.{n}": v for n, v in environment.items()}, **settings,
    }.items():  # fmt: skip
        builder = builder.config(name, value)
    try:
        with quiet():
            session = builder.getOrCreate()
    except _spark_errors() as error:
        raise ExpectedError(
            f"Spark does not start ({one_line(error)}); it needs Java 17 (apt-get install "
            "openjdk-17-jre-headless), or use engine=local."
        ) from error
    try:
        yield session
    finally:
        session.stop()


def _spark_errors() -> tuple[type[Exception], ...]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return PySparkException, Py4JError
