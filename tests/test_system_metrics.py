"""System metrics of a run: their names, and step numbers that continue when a run is resumed."""

import time

import mlflow
import psutil
import pytest

from tracking.system_metrics import MemoryMonitor, log_system_metrics

METRICS = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/process_memory_megabytes",
    "system/free_memory_megabytes",
    "system/swap_usage_megabytes",
    "system/swap_moved_megabytes",
}


def test_system_metrics_are_logged_and_a_resumed_run_continues_their_steps(own_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        for _ in range(2):
            with log_system_metrics(run.info.run_id):
                time.sleep(1.5)
    assert set(mlflow.get_run(run.info.run_id).data.metrics) >= METRICS
    for name in METRICS:
        history = client.get_metric_history(run.info.run_id, name)
        assert [m.step for m in history] == list(range(len(history)))
        assert len(history) >= 3


def test_process_memory_is_that_of_this_process():
    monitor = MemoryMonitor()
    monitor.collect_metrics()
    metrics = monitor.aggregate_metrics()
    assert metrics["process_memory_megabytes"] == pytest.approx(
        psutil.Process().memory_info().rss / 1e6, rel=0.1
    )
    assert metrics["swap_moved_megabytes"] >= 0
