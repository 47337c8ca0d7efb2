"""Sleep is prevented as long as the block runs; the system's commands are replaced by scripts."""

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
from supervision.runtime.keep_awake import ES_CONTINUOUS, ES_SYSTEM_REQUIRED, keep_awake

ROOT = Path(__file__).resolve().parents[1]
RUNS_COMMAND = """#!/bin/sh
here=$(dirname "$0")
echo "$@" > "$here/arguments"
echo $$ > "$here/pid"
while [ "${1#-}" != "$1" ]; do shift; done
"$@"
"""
REFUSES = "#!/bin/sh\necho 'Failed to inhibit:\n Access denied' >&2\nexit 1\n"
FAILS = "#!/bin/sh\nexit 3\n"
NEVER_ANSWERS = "#!/bin/sh\nexec sleep 60\n"
NO_PROGRAM = "#!/no/such/shell\n"
TRAINING_PROCESS = """
import subprocess, sys, time
from supervision.runtime.keep_awake import keep_awake
with keep_awake():
    other = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(other.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def install_script(tmp_path, monkeypatch):
    """Installs a script as the only command that prevents sleep; returns its folder."""
    for tool in ("sh", "cat", "dirname", "sleep"):
        (tmp_path / tool).symlink_to(subprocess.getoutput(f"command -v {tool}"))
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(name, script):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
        return tmp_path

    return write


def read_pid(folder):
    return int((folder / "pid").read_text())


def has_ended(process):
    """Whether a process ends within ten seconds."""
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
def test_helper_command_runs_exactly_as_long_as_the_block(install_script, capsys, name, arguments):
    folder = install_script(name, RUNS_COMMAND)
    with keep_awake():
        pid = read_pid(folder)
        (child,) = psutil.Process(pid).children()
        assert psutil.Process(pid).is_running()
    assert not psutil.pid_exists(pid)
    assert has_ended(child)
    assert (folder / "arguments").read_text().startswith(arguments)
    assert capsys.readouterr() == (f"Sleep is prevented while training ({name}).\n", "")


def test_helper_command_ends_when_the_block_raises(install_script):
    folder = install_script("systemd-inhibit", RUNS_COMMAND)
    with pytest.raises(ZeroDivisionError), keep_awake():
        raise ZeroDivisionError
    assert not psutil.pid_exists(read_pid(folder))


def test_helper_command_that_dies_early_is_not_an_error(install_script):
    folder = install_script("systemd-inhibit", RUNS_COMMAND)
    with keep_awake():
        os.kill(read_pid(folder), signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_helper_command_ends_with_the_process_even_if_other_children_survive(install_script, how):
    folder = install_script("systemd-inhibit", RUNS_COMMAND)
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING_PROCESS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert "is prevented" in process.stdout.readline()
        other = psutil.Process(int(process.stdout.readline()))
        helper = psutil.Process(read_pid(folder))
        family = [helper, *helper.children()]
        assert len(family) == 2
        process.send_signal(how)
        process.wait()
        assert all(has_ended(process) for process in family)
        assert other.status() == psutil.STATUS_SLEEPING
        other.kill()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (REFUSES, "systemd-inhibit: Failed to inhibit: Access denied"),
        (FAILS, "systemd-inhibit: exit status 3"),
        (NEVER_ANSWERS, "systemd-inhibit: no answer within 0.2 s"),
        (NO_PROGRAM, "systemd-inhibit: No such file or directory"),
        (None, "there is no systemd-inhibit or caffeinate"),
    ],
    ids=["refuses", "fails", "no answer", "no program", "no command"],
)
def test_block_runs_when_sleep_cannot_be_prevented(
    install_script, monkeypatch, capsys, script, reason
):
    monkeypatch.setattr(module, "START_TIMEOUT_SECONDS", 0.2)
    if script:
        install_script("systemd-inhibit", script)
    children = set(psutil.Process().children())
    with keep_awake():
        assert set(psutil.Process().children()) <= children
    message = f"Sleep cannot be prevented ({reason}); training anyway.\n"
    assert capsys.readouterr() == (message, "")


@pytest.mark.parametrize(
    ("answer", "message"), [(1, "is prevented while"), (0, "cannot be prevented (Windows refuses)")]
)
def test_windows_execution_state_is_set_and_restored(monkeypatch, capsys, answer, message):
    calls = []
    kernel = SimpleNamespace(SetThreadExecutionState=lambda flags: calls.append(flags) or answer)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    with keep_awake():
        assert calls == [ES_CONTINUOUS | ES_SYSTEM_REQUIRED]
    assert calls[1:] == ([ES_CONTINUOUS] if answer else [])
    monkeypatch.undo()
    assert message in capsys.readouterr().out
