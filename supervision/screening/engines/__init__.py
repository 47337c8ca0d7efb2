"""What answers shards: processes of this machine, Spark, or the jobs of a cluster."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from supervision.screening.worker import ShardTask

ENGINES = ("local", "spark", "slurm")
# shards, number of workers (0: as many as fit), settings -> rows, as they are answered
Engine = Callable[[Sequence[ShardTask], int, str], Iterator[int]]


def engine_named(name: str) -> Engine:
    """The function ``run`` of an engine; its library is imported when it runs."""
    run: Engine = import_module(f"supervision.screening.engines.{name}").run
    return run
