"""Logs MLflow's system metrics during a training, and memory and swap beside them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from supervision.runtime.memory import available_memory, resident_bytes


@contextmanager
def log_system_metrics(run: str) -> Iterator[None]:
    """Log CPU, memory, swap, disk, network and GPU use under ``system/`` during the block.

    In a resumed run the step numbers continue. MLflow's variables set the sampling interval:
    https://mlflow.org/docs/latest/ml/tracking/system-metrics/.
    """
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it logs its start
    monitor = SystemMetricsMonitor(run, resume_logging=True)
    monitor.monitors.append(MemoryMonitor())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


class MemoryMonitor(BaseMetricsMonitor):
    """Samples the memory of this process, the memory available to it, and swap.

    Available memory respects the limit of a container.
    """

    def __init__(self) -> None:
        super().__init__()
        self.swapped_bytes = _swapped_bytes()

    def collect_metrics(self) -> None:
        """Take one sample, in megabytes (10^6 bytes).

        ``swap_moved_megabytes`` counts what was moved to and from swap since the last sample.
        """
        before, self.swapped_bytes = self.swapped_bytes, _swapped_bytes()
        sample = {
            "process_memory_megabytes": resident_bytes(),
            "free_memory_megabytes": available_memory().free,
            "swap_usage_megabytes": psutil.swap_memory().used,
            "swap_moved_megabytes": self.swapped_bytes - before,
        }
        for name, size in sample.items():
            self._metrics[name].append(size / 1e6)

    def aggregate_metrics(self) -> dict[str, float]:
        """The mean of the samples of each metric."""
        return {
            name: round(sum(samples) / len(samples), 1) for name, samples in self._metrics.items()
        }


def _swapped_bytes() -> int:
    """Bytes moved to and from swap since the machine started."""
    swap = psutil.swap_memory()
    return int(swap.sin + swap.sout)
