"""Sleep is held off by stand-ins for the systems' commands, for as long as it should be."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from supervision.runtime import keep_awake as module
from supervision.runtime.keep_awake import CONTINUOUS, SYSTEM_REQUIRED, keep_awake

ROOT = Path(__file__).resolve().parents[1]
RUNS = """#!/bin/sh
here=$(dirname "$0")
echo "$@" > "$here/arguments"
echo $$ > "$here/pid"
while [ "${1#-}" != "$1" ]; do shift; done
"$@"
"""
REFUSES = "#!/bin/sh\necho 'Failed to inhibit:\n Access denied' >&2\nexit 1\n"
FAILS = "#!/bin/sh\nexit 3\n"
IS_DEAF = "#!/bin/sh\nexec sleep 60\n"
NO_PROGRAM = "#!/no/such/shell\n"
OURS = """
import subprocess, sys, time
from supervision.runtime.keep_awake import keep_awake
with keep_awake():
    other = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(other.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Writes a command, the only one of those that hold off sleep; returns its folder."""
    for tool in ("sh", "cat", "dirname", "sleep"):
        (tmp_path / tool).symlink_to(subprocess.getoutput(f"command -v {tool}"))
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(name, script):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
        return tmp_path

    return write


def pid_in(folder):
    return int((folder / "pid").read_text())


def gone(process):
    """Wait until a process has ended; whether it has, within ten seconds."""
    for _ in range(1000):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("systemd-inhibit", "--what=sleep:idle --who=SuperVision --why=a model is training"),
        ("caffeinate", "-i -s"),
    ],
)
def test_a_helper_lives_as_long_as_the_block(stand_in, capsys, name, arguments):
    folder = stand_in(name, RUNS)
    with keep_awake():
        pid = pid_in(folder)
        (child,) = psutil.Process(pid).children()
        assert psutil.Process(pid).is_running()
    assert not psutil.pid_exists(pid)
    assert gone(child)
    assert (folder / "arguments").read_text().startswith(arguments)
    assert capsys.readouterr() == (f"Sleep is held off while training ({name}).\n", "")


def test_it_ends_with_a_block_that_raises(stand_in):
    folder = stand_in("systemd-inhibit", RUNS)
    with pytest.raises(ZeroDivisionError), keep_awake():
        raise ZeroDivisionError
    assert not psutil.pid_exists(pid_in(folder))


def test_a_helper_that_has_died_on_its_own_is_no_error(stand_in):
    folder = stand_in("systemd-inhibit", RUNS)
    with keep_awake():
        os.kill(pid_in(folder), signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_our_process_although_another_child_lives_on(stand_in, how):
    folder = stand_in("systemd-inhibit", RUNS)
    ours = subprocess.Popen(
        [sys.executable, "-c", OURS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with ours:
        assert "held off" in ours.stdout.readline()
        other = psutil.Process(int(ours.stdout.readline()))
        helper = psutil.Process(pid_in(folder))
        family = [helper, *helper.children()]
        assert len(family) == 2
        ours.send_signal(how)
        ours.wait()
        assert all(gone(process) for process in family)
        assert other.status() == psutil.STATUS_SLEEPING
        other.kill()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (REFUSES, "systemd-inhibit: Failed to inhibit: Access denied"),
        (FAILS, "systemd-inhibit: exit status 3"),
        (IS_DEAF, "systemd-inhibit: no answer within 0.2 s"),
        (NO_PROGRAM, "systemd-inhibit: No such file or directory"),
        (None, "there is no systemd-inhibit or caffeinate"),
    ],
    ids=["refuses", "fails", "is deaf", "no program", "none"],
)
def test_where_it_cannot_be_held_off_the_block_goes_on(
    stand_in, monkeypatch, capsys, script, reason
):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    if script:
        stand_in("systemd-inhibit", script)
    children = set(psutil.Process().children())
    with keep_awake():
        assert set(psutil.Process().children()) <= children
    said = f"Sleep cannot be held off ({reason}); going on without.\n"
    assert capsys.readouterr() == (said, "")


@pytest.mark.parametrize(
    ("answer", "said"), [(1, "held off while"), (0, "cannot be held off (Windows refuses)")]
)
def test_windows_is_asked_and_told_when_it_is_over(monkeypatch, capsys, answer, said):
    asked = []
    kernel = SimpleNamespace(SetThreadExecutionState=lambda wish: asked.append(wish) or answer)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    with keep_awake():
        assert asked == [CONTINUOUS | SYSTEM_REQUIRED]
    assert asked[1:] == ([CONTINUOUS] if answer else [])
    monkeypatch.undo()
    assert said in capsys.readouterr().out
