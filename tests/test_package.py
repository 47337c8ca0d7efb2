"""``pip install .`` gives the package and the command ``supervision-tc``."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from projects import ROOT

from entrypoints.cli import COMMANDS

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = (
    "supervision", "tracking", "entrypoints", "released", "pyproject.toml", "requirements.txt",
    "requirements-dev.txt", "requirements-spark.txt", "requirements-slurm.txt", "README.md",
    "LICENSE",
)  # fmt: skip
TRAIN = ("train", "composition", "--limit", "60", "--trees", "10")
CHECK = """
import sys
from pathlib import Path

import supervision
from supervision.data.datasets import load_dataset
from supervision.runtime.version import ROOT, code_version

assert Path(supervision.__file__).is_relative_to(sys.prefix), supervision.__file__
assert (ROOT / "tracking" / "serving" / "pyfunc.py").is_file()
assert len(load_dataset("classics").crystals) == 280
assert code_version().startswith("source-")
from supervision.doctor import check_packages
print(check_packages())
"""


def requirements(name):
    """The pins of a requirements file."""
    lines = (ROOT / name).read_text().splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip()]


def run(command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


def install(folder, *options):
    """A virtual environment with the package in it: its ``bin`` folder, and a bare environment."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source / name)
    borrow = "--no-deps" in options  # the dependencies, and pip, of this environment
    run([sys.executable, "-m", "venv", *["--without-pip"] * borrow, folder / "venv"])
    binaries = folder / "venv" / "bin"
    if borrow:
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MLFLOW"))}
    environment = kept | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    run([binaries / "python", "-m", "pip", "install", "-q", *options, source], env=environment)
    return binaries, environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install(tmp_path_factory.mktemp("install"), "--no-deps", "--no-build-isolation")


def commands_of(binaries, environment):
    """The subcommands that the help of ``supervision-tc`` lists."""
    said = run([binaries / "supervision-tc", "--help"], env=environment)
    return set(re.findall(r"[a-z]+(?:[_-][a-z]+)*", said))


def test_the_package_and_its_data_are_installed(installed, tmp_path):
    binaries, environment = installed
    said = run([binaries / "python", "-c", CHECK], env=environment, cwd=tmp_path)
    assert "state='ok'" in said


def test_one_command_has_the_entry_points_as_subcommands(installed):
    assert {*COMMANDS} <= commands_of(*installed)
    assert {"predict", "train", "tune", "compare", "doctor"} <= {*COMMANDS}


@pytest.mark.long
def test_a_model_is_trained_and_loaded_by_the_installed_package(installed, tmp_path):
    binaries, environment = installed
    run([binaries / "supervision-tc", *TRAIN], env=environment, cwd=tmp_path)
    script = "import supervision; print(supervision.load('supervision-composition'))"
    said = run([binaries / "python", "-c", script], env=environment, cwd=tmp_path)
    assert "supervision-composition" in said and "demonstration" in said


def test_the_metadata_are_the_requirements_files(installed):
    (site,) = installed[0].parent.glob("lib/python*/site-packages")
    (metadata,) = site.glob("supervision_tc-*.dist-info/METADATA")
    found = [
        Requirement(line.partition(": ")[2])
        for line in metadata.read_text().splitlines()
        if line.startswith("Requires-Dist: ")
    ]
    runtime = [f"{r.name}{r.specifier}" for r in found if r.marker is None]
    assert runtime == requirements("requirements.txt")
    extras = {str(r.marker) for r in found if r.marker}
    assert extras == {f'extra == "{name}"' for name in ("dev", "spark", "slurm")}
    for name in ("dev", "spark", "slurm"):
        own = [f"{r.name}{r.specifier}" for r in found if str(r.marker) == f'extra == "{name}"']
        assert own == requirements(f"requirements-{name}.txt")


def test_no_pin_is_in_both_files():
    names = [
        line.partition("==")[0]
        for file in ("requirements.txt", "requirements-dev.txt")
        for line in requirements(file)
    ]
    assert len(names) == len(set(names))


def test_this_environment_has_the_pinned_versions():
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in requirements(file):
            name, _, pinned = line.partition("==")
            assert distribution(name).version.partition("+")[0] == pinned, name


@pytest.mark.long
def test_pip_install_in_a_fresh_environment(tmp_path):
    binaries, environment = install(tmp_path)
    said = run([binaries / "python", "-c", CHECK], env=environment, cwd=tmp_path)
    assert "state='ok'" in said
    assert "predict" in commands_of(binaries, environment)
    run([binaries / "supervision-tc", *TRAIN], env=environment, cwd=tmp_path)
    script = "import supervision; print(supervision.load('supervision-composition'))"
    said = run([binaries / "python", "-c", script], env=environment, cwd=tmp_path)
    assert "demonstration" in said
