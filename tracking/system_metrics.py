"""How the machine fares under a training: MLflow's system metrics, and what they leave out."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from supervision.runtime.memory import memory, resident


class MemoryMonitor(BaseMetricsMonitor):
    """This process's memory, what it may still have (of its container, too), and swap."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = _moved()

    def collect_metrics(self) -> None:
        """One sample: megabytes (10^6 bytes) in memory, free, in swap, moved since the last one."""
        before, self.moved = self.moved, _moved()
        found = {
            "process_memory_megabytes": resident(),
            "free_memory_megabytes": memory().free,
            "swap_usage_megabytes": psutil.swap_memory().used,
            "swap_moved_megabytes": self.moved - before,
        }
        for name, size in found.items():
            self._metrics[name].append(size / 1e6)

    def aggregate_metrics(self) -> dict[str, float]:
        """Means of the samples."""
        return {name: round(sum(found) / len(found), 1) for name, found in self._metrics.items()}


def _moved() -> int:
    swap = psutil.swap_memory()
    return int(swap.sin + swap.sout)


@contextmanager
def watched(run: str) -> Iterator[None]:
    """Log CPU, memory, swap, disk, network and GPUs under ``system/`` until the end of the block.

    Of a run that is carried on, the steps go on. MLflow's own variables say how often:
    https://mlflow.org/docs/latest/ml/tracking/system-metrics/.
    """
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it reports its start
    monitor = SystemMetricsMonitor(run, resume_logging=True)
    monitor.monitors.append(MemoryMonitor())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
