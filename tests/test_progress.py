"""Progress of long loops: lines if the output is redirected, nothing if quiet."""

import sys

from supervision.runtime import progress
from supervision.runtime.progress import track


def test_a_redirected_loop_prints_a_line_every_30_seconds(monkeypatch, capsys):
    clock = iter(range(0, 10_000, 20))  # each call returns a time 20 s later
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    items = track(range(6), total=6, desc="frozen features", unit="batch")
    assert list(items) == list(range(6))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "frozen features: 2 of 6, 0.05 batch/s, about 1 min left."
    assert len(lines) == 2, "every 30 s, and not at the end"


def test_a_loop_of_unknown_length_says_how_fast_it_is(monkeypatch, capsys):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert len(list(track(range(3), total=None, desc="reading", unit="structure"))) == 3
    assert capsys.readouterr().err == "reading: 2, 0.05 structure/s.\n"


def test_a_fast_or_quiet_loop_prints_nothing(capsys):
    assert list(track(range(3), total=3, desc="x", unit="y")) == [0, 1, 2]
    assert list(track(range(3), total=3, desc="x", unit="y", quiet=True)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_on_a_terminal_it_is_a_bar_that_counts_units(monkeypatch, capsys):
    monkeypatch.setattr(progress, "BAR_DELAY_SECONDS", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    items = track([[1] * 10, [2] * 5], total=15, desc="prediction", unit="structure", size=len)
    assert [len(item) for item in items] == [10, 5]
    shown = capsys.readouterr().err
    assert "prediction:" in shown
    assert "/15" in shown
