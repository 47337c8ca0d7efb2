"""Time limits of computations: what runs over stops, and what ends in time is left alone."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from supervision.runtime import deadline
from supervision.runtime.deadline import WATCHDOG, call_within

NEVER = 3600.0  # seconds


def spin(turns):
    """Compute in Python; returns the sum of the numbers below ``turns``."""
    total = 0
    for number in range(turns):
        total += number
    return total


def count_forever(counted):
    while True:
        counted[0] += 1


def test_what_ends_in_time_is_returned_or_raised():
    assert call_within(NEVER, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_within(NEVER, lambda: 1 / 0)
    assert not WATCHDOG.limits


def test_a_computation_that_runs_over_is_given_up_and_does_not_go_on():
    counted = [0]
    with pytest.raises(TimeoutError, match=r"^It took longer than 0.05 s\.$"):
        call_within(0.05, lambda: count_forever(counted))
    given_up = counted[0]
    time.sleep(0.05)
    assert counted[0] == given_up > 0
    assert not WATCHDOG.limits


def test_locks_and_finally_blocks_are_left_as_by_any_error():
    lock, left = threading.Lock(), []

    def hold():
        with lock:
            try:
                count_forever([0])
            finally:
                left.append("finally")

    with pytest.raises(TimeoutError):
        call_within(0.02, hold)
    assert left == ["finally"] and not lock.locked()


def test_code_that_swallows_the_exception_is_interrupted_again(monkeypatch):
    monkeypatch.setattr(deadline, "REPEAT_SECONDS", 0.02)
    swallowed = []

    def stubborn():
        while len(swallowed) < 3:
            try:
                count_forever([0])
            except BaseException as error:
                swallowed.append(type(error))
        return "an answer that came too late"

    with pytest.raises(TimeoutError):
        call_within(0.02, stubborn)
    assert len(swallowed) == 3


def test_an_error_that_a_library_makes_of_the_exception_is_a_timeout():
    def convert():
        try:
            count_forever([0])
        except BaseException as error:
            raise TypeError("cannot compare") from error

    with pytest.raises(TimeoutError):
        call_within(0.02, convert)


def test_of_nested_limits_the_shorter_one_ends_its_own_call():
    def inner_runs_over():
        with pytest.raises(TimeoutError, match=r"0.02 s"):
            call_within(0.02, lambda: count_forever([0]))
        return "the outer call goes on"

    assert call_within(NEVER, inner_runs_over) == "the outer call goes on"
    with pytest.raises(TimeoutError, match=r"0.03 s"):
        call_within(0.03, lambda: call_within(NEVER, lambda: count_forever([0])))


def test_the_limit_of_a_thread_does_not_end_another():
    over, counted = threading.Event(), [0]

    def count_until_over():
        while not over.is_set():
            counted[0] += 1
        return "unharmed"

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(call_within, NEVER, count_until_over)
        with pytest.raises(TimeoutError):
            call_within(0.02, lambda: count_forever([0]))
        given_up = counted[0]
        while counted[0] == given_up:
            assert not other.done()
        over.set()
        assert other.result() == "unharmed"


@pytest.fixture
def frequent_switches():
    """Threads take turns after microseconds, so that limits end at every point of a call."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def limited_calls(seed, ended):
    """Calls that take about as long as their limits, nested; counts how they end.

    A late exception would end the thread.
    """
    for number in range(1500):
        turns, seconds = 97 * (number + seed) % 3000, (31 * number + seed) % 100 / 2e5

        def inner(turns=turns, seconds=seconds):
            try:
                assert call_within(seconds, lambda: spin(turns)) == turns * (turns - 1) // 2
                return "returned"
            except TimeoutError:
                return "given up"

        try:
            ended.append(call_within(2 * seconds, inner))
        except TimeoutError:
            ended.append("outer given up")
        spin(200)


def test_a_call_that_has_ended_never_gets_a_late_exception(monkeypatch, frequent_switches):
    monkeypatch.setattr(deadline, "REPEAT_SECONDS", 0.001)
    with ThreadPoolExecutor(3) as pool:
        ended = [[], [], []]
        running = [pool.submit(limited_calls, seed, found) for seed, found in enumerate(ended)]
        for thread in running:
            thread.result()
    assert [len(found) for found in ended] == [1500] * 3
    kinds = set().union(*ended)
    assert "returned" in kinds and len(kinds) > 1
    assert not WATCHDOG.limits


@pytest.mark.parametrize("seconds", [0.05, NEVER])
def test_a_limit_that_is_over_leaves_nothing_for_the_interpreter_to_raise(seconds):
    """A profiler of CPython 3.11 never ends while an exception is announced but not there."""
    code = f"""
import cProfile
from supervision.runtime.deadline import call_within
try:
    call_within({seconds}, lambda: all(iter(int, 1 if {seconds} < 1 else 0)))
except TimeoutError:
    pass
cProfile.Profile().runcall(lambda: [abs(number) for number in range(100)])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
