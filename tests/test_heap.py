"""When freed memory is returned to the operating system."""

import pytest

from supervision.runtime import heap
from supervision.runtime.heap import TRIM_SECONDS, HeapTrimmer


@pytest.fixture
def trimmed(monkeypatch):
    """The times at which the heap was trimmed."""
    times: list[float] = []
    monkeypatch.setattr(heap, "trim_heap", lambda: times.append(heap.time.monotonic()))
    return times


def test_the_heap_is_trimmed_at_once_and_then_not_more_often_than_allowed(trimmed, monkeypatch):
    now = 1_000.0
    monkeypatch.setattr(heap.time, "monotonic", lambda: now)
    trimmer = HeapTrimmer()
    for step in range(25):
        now = 1_000.0 + step * TRIM_SECONDS / 10
        trimmer.trim()
    assert trimmed == pytest.approx([1_000, 1_000 + TRIM_SECONDS, 1_000 + 2 * TRIM_SECONDS])
