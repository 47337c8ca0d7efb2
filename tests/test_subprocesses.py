"""The environment of child processes: modules are found and the current folder is kept."""

import os
import subprocess
import sys

from supervision.runtime.subprocesses import child_environment
from supervision.runtime.version import ROOT

PRINT = "import os, tracking; print(tracking.__file__); print(os.getcwd())"


def test_the_project_is_first_on_the_search_path_and_the_rest_is_inherited(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/one", "", "/two"]))
    monkeypatch.setenv("INHERITED", "yes")
    environment = child_environment({"ADDED": "yes"})
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/one", "/two"]
    assert environment["INHERITED"] == environment["ADDED"] == "yes"
    assert "ADDED" not in os.environ


def test_a_child_in_another_folder_imports_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracking.py").write_text("")
    command = [sys.executable, "-c", PRINT]
    printed = subprocess.check_output(command, env=child_environment(), text=True)
    assert printed.splitlines() == [str(ROOT / "tracking" / "__init__.py"), str(tmp_path)]
