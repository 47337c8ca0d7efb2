"""Available memory from cgroup files of both versions, and the detection of a shortage."""

import subprocess
import sys

import numpy as np
import psutil
import pytest

from supervision.runtime import memory as module
from supervision.runtime.memory import Memory, StepMemoryMonitor, available_memory, is_out_of_memory

GIB = 2**30
MACHINE = psutil.virtual_memory()


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))


def v2(folder, limit, used, inactive=0):
    stat = f"anon 5\ninactive_file {inactive}\n"
    names = ("memory.max", "memory.current", "memory.stat")
    return {f"{folder}/{name}": x for name, x in zip(names, (limit, used, stat), strict=True)}


def v1(folder, limit, used, inactive=0):
    stat = f"inactive_file 7\ntotal_inactive_file {inactive}\n"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    return {f"{folder}/{name}": x for name, x in zip(names, (limit, used, stat), strict=True)}


def test_without_a_cgroup_limit_the_total_is_the_machines_memory(tmp_path):
    assert available_memory(tmp_path).total == MACHINE.total
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n"} | v2("sys/fs/cgroup/a/b", "max", 5))
    assert available_memory(tmp_path).total == MACHINE.total
    write(tmp_path, {"proc/self/cgroup": "4:memory:/a\n"})
    write(tmp_path, v1("sys/fs/cgroup/memory/a", 9223372036854771712, 5))
    assert available_memory(tmp_path).total == MACHINE.total


def test_cgroup_v2_limit_applies_and_inactive_files_count_as_free(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n"})
    write(tmp_path, v2("sys/fs/cgroup/a/b", GIB // 2, GIB // 4, GIB // 8))
    assert available_memory(tmp_path) == Memory(GIB // 2, 3 * GIB // 8)


def test_cgroup_v1_limit_applies(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "5:cpu:/x\n4:memory,hugetlb:/a\n0::/\n"})
    write(tmp_path, v1("sys/fs/cgroup/memory/a", GIB // 2, GIB // 4, GIB // 8))
    assert available_memory(tmp_path) == Memory(GIB // 2, 3 * GIB // 8)


def test_the_tightest_limit_of_all_parent_cgroups_applies(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n"})
    write(tmp_path, v2("sys/fs/cgroup/a/b", "max", 100))
    write(tmp_path, v2("sys/fs/cgroup/a", GIB // 4, GIB // 8))
    assert available_memory(tmp_path) == Memory(GIB // 4, GIB // 8)


def test_inside_a_container_the_top_cgroup_is_its_own(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "0::/docker/unseen\n"})
    write(tmp_path, v2("sys/fs/cgroup", GIB // 4, GIB // 8))
    assert available_memory(tmp_path) == Memory(GIB // 4, GIB // 8)


def test_free_memory_is_zero_when_the_limit_is_exceeded(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "0::/\n"} | v2("sys/fs/cgroup", 1000, 2000))
    assert available_memory(tmp_path).free == 0


@pytest.fixture
def machine(monkeypatch):
    """A simulated machine with free memory and no swapping; tests change its state."""
    state = {"free": 8 * GIB, "swapped": 0, "temporary": 0}
    monkeypatch.setattr(module, "available_memory", lambda: Memory(16 * GIB, state["free"]))
    monkeypatch.setattr(module, "_swapped_bytes", lambda: state["swapped"])
    monkeypatch.setattr(module, "resident_bytes", lambda: GIB)
    monkeypatch.setattr(module, "_peak_resident_bytes", lambda: GIB + state["temporary"])
    return state


def test_slow_step_without_swapping_is_not_reported(machine):
    monitor = StepMemoryMonitor()
    assert [monitor.check_after_step(s) for s in (1, 1, 1, 1, 1, 1, 50, 1)] == [""] * 8


def test_swapping_that_slows_down_a_step_is_reported(machine):
    monitor = StepMemoryMonitor()
    for _ in range(6):
        assert monitor.check_after_step(1.0) == ""
    machine["swapped"] += 100 << 20
    assert monitor.check_after_step(1.1) == "", "swapping without a slow step is not a shortage"
    machine["swapped"] += 100 << 20
    assert monitor.check_after_step(9.0) == (
        "the system is swapping, and a step took 9.0 s instead of 1.0 s"
    )


def test_little_free_memory_is_reported(machine):
    machine |= {"free": GIB // 2, "temporary": GIB // 8}
    assert StepMemoryMonitor().check_after_step(1.0).startswith("only 0.5 GiB of 16.0 GiB free")
    machine["temporary"] = GIB // 64
    assert StepMemoryMonitor().check_after_step(1.0) == "", "smaller steps would not help"


def test_memory_that_the_next_step_needs_does_not_count_as_free(machine):
    machine["temporary"] = 7 * GIB
    assert StepMemoryMonitor().check_after_step(1.0) == ""
    machine["free"] = 7.5 * GIB
    message = StepMemoryMonitor().check_after_step(1.0)
    assert message == "only 7.5 GiB of 16.0 GiB free, and a step needs 7.0 GiB temporarily"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak")
def test_peak_memory_is_measured_and_reset_before_steps():
    taken = np.ones(30 << 20)  # 240 MiB
    del taken
    assert module._peak_resident_bytes() - module.resident_bytes() > 200 << 20
    StepMemoryMonitor().check_before_steps()
    assert module._peak_resident_bytes() - module.resident_bytes() < 50 << 20


def test_memory_kept_by_the_c_library_is_released_before_the_decision(machine, monkeypatch):
    """Memory of a finished step looks used until it is released; then it counts as needed."""
    kept = {"free": 4 * GIB, "temporary": 3 * GIB}
    monkeypatch.setattr(module, "release_memory", lambda: machine.update(kept))
    machine |= {"free": GIB // 2, "temporary": 0}
    assert StepMemoryMonitor().check_after_step(1.0) == ""
    machine |= {"free": GIB // 2, "temporary": 0}
    kept = {"free": 2 * GIB, "temporary": 3 * GIB // 2}
    message = StepMemoryMonitor().check_after_step(1.0)
    assert message == "only 2.0 GiB of 16.0 GiB free, and a step needs 1.5 GiB temporarily"


def test_step_memory_is_remembered_for_the_next_epoch(machine):
    machine["temporary"] = 3 * GIB
    monitor = StepMemoryMonitor()
    assert monitor.check_after_step(1.0) == ""
    machine |= {"temporary": 0, "free": 3 * GIB}
    assert "a step needs 3.0 GiB" in monitor.check_before_steps()
    assert StepMemoryMonitor(monitor.step_bytes // 2).check_before_steps() == ""
    assert StepMemoryMonitor().check_before_steps() == "", "the peak may come from a validation"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_failed_allocations_are_recognised(error, expected):
    assert is_out_of_memory(error) == expected


FRAGMENTING = """
import sys
import torch
from supervision.runtime.memory import resident_bytes, limit_fragmentation
held = torch.ones(20 << 20, dtype=torch.uint8)
del held  # glibc takes smaller blocks from its heap from here on
if sys.argv[1] == "limited":
    limit_fragmentation()
before = resident_bytes()
held = [torch.ones(4 << 20, dtype=torch.uint8) for _ in range(32)]
held = held[::2]
print((resident_bytes() - before) >> 20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is configured")
def test_limited_fragmentation_returns_freed_blocks():
    left = {}
    for how in ("as it is", "limited"):
        command = [sys.executable, "-c", FRAGMENTING, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        left[how] = int(done.stdout)
    assert left["as it is"] > 120  # MiB: all of them, though half are gone
    assert 64 <= left["limited"] < 72
