"""The house holds: imports go one way, nothing runs at import, no real-data test hides."""

import ast
import graphlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bare import HIDDEN

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("supervision", "tracking", "entrypoints", "benchmarks")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imported(name, tree):
    """Full names of what a module imports anywhere: ``a.b`` and, of from-imports, ``a.b.c``."""
    package = name if MODULES.get(name, Path()).name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


IMPORTS = {name: set(imported(name, tree)) for name, tree in TREES.items()}


def breaches(modules, forbidden):
    """``module -> import`` where one of ``modules`` imports something below ``forbidden``."""
    return [
        f"{name} -> {found}"
        for name in modules
        for found in sorted(IMPORTS[name])
        if any(found == ban or found.startswith(f"{ban}.") for ban in forbidden)
    ]


def below(*rooms):
    return [name for name in MODULES if name.split(".")[0] in rooms]


def test_there_is_something_to_check():
    assert {"supervision.training", "tracking.runs", "entrypoints.train_dino"} <= set(MODULES)
    assert "supervision.crystals" in IMPORTS["supervision.datasets.load"]
    assert "mlflow" in IMPORTS["tracking.runs"]
    assert "peft" in IMPORTS["supervision.vision.model"]  # imported inside a function


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import mlflow.pyfunc as m", {"mlflow.pyfunc"}),
        ("from supervision import crystals", {"supervision", "supervision.crystals"}),
        ("def f():\n    import dgl", {"dgl"}),
        ("from . import scene", {"supervision.vision", "supervision.vision.scene"}),
        (
            "from ..crystals import Crystal",
            {"supervision.crystals", "supervision.crystals.Crystal"},
        ),
    ],
)
def test_the_reader_of_imports_sees_them_all(source, found):
    assert set(imported("supervision.vision.data", ast.parse(source))) == found


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("supervision", ["tracking", "entrypoints", "benchmarks", "tests"]),
        ("tracking", ["entrypoints", "benchmarks", "tests"]),
        ("entrypoints", ["benchmarks", "tests"]),
        ("benchmarks", ["tracking", "entrypoints", "tests"]),
    ],
)
def test_imports_go_one_way(room, never):
    assert breaches(below(room), never) == []


def test_the_science_knows_no_tracker_and_no_command_line():
    assert breaches(below("supervision"), ["mlflow", "typer", "optuna"]) == []


def test_only_tracking_imports_mlflow():
    assert breaches(below("supervision", "benchmarks", "entrypoints"), ["mlflow"]) == []


def test_training_knows_no_paradigm():
    others = ["dgl", "timm", "alignn", "peft", "pymatgen", "cv2"]
    known = {"supervision.training"}
    while found := {m for name in known for m in IMPORTS[name] & set(MODULES)} - known:
        known |= found
    assert breaches(known, others) == []
    assert not any(name.count(".") > 1 for name in known), "no paradigm's room"


def at_the_top(name):
    """What a module imports as soon as it is imported itself."""
    top = [node for node in TREES[name].body if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(imported(name, ast.Module(top, [])))


@pytest.mark.parametrize("name", ["train_dino", "train_alignn"])
def test_a_bare_machine_can_train(name):
    known = {f"entrypoints.{name}", "supervision.fitting"}  # which fit() imports
    while found := {m for name in known for m in at_the_top(name) & set(MODULES)} - known:
        known |= found
    assert {"supervision.training", "supervision.folder", "supervision.archive"} <= known
    assert {f.partition(".")[0] for name in known for f in at_the_top(name)} & HIDDEN == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.endswith(".model")])
def test_models_never_see_data_sets(name):
    data = ["supervision.datasets", "supervision.crystals", "supervision.splits", "pandas"]
    assert breaches([name], data) == []


@pytest.mark.parametrize("name", ["metrics", "target", "elements"])
def test_the_ground_floor_imports_nothing_of_ours(name):
    assert breaches([f"supervision.{name}"], ROOMS) == []


def test_no_two_modules_import_each_other():
    """At the top level; graphlib raises CycleError with the circle."""

    graph = {}
    for name in TREES:
        found = at_the_top(name) & set(MODULES)
        graph[name] = {other for other in found if not f"{name}.".startswith(f"{other}.")}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_other_project_of_our_name_is_not_required():
    lines = (ROOT / "requirements.txt").read_text().lower().splitlines()
    assert not any(line.split("=")[0].strip() == "supervision" for line in lines)


# --- at import

DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
GUARDS = ("__name__ == '__main__'", "TYPE_CHECKING")
SAID_AT_IMPORT = {
    "entrypoints": ["os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')"],
    "tracking.serving": ["mlflow.models.set_model(TcModel())"],  # how MLflow loads from code
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_define_and_do_nothing(name):
    for node in TREES[name].body:
        text = ast.unparse(node)
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) in GUARDS, text
        elif isinstance(node, ast.Expr):
            docstring = isinstance(node.value, ast.Constant)
            assert docstring or text in SAID_AT_IMPORT.get(name, []), text
        else:
            assert isinstance(node, DEFINITIONS), text


IMPORT_ALL = """
import socket, sys, threading
def refuse(*_): raise AssertionError("a connection at import")
socket.socket.connect = refuse
before = threading.active_count()
import supervision.crystals, supervision.datasets, supervision.splits, supervision.metrics
import supervision.vision.prepare, supervision.graph.prepare, supervision.composition.features
assert "torch" not in sys.modules, "preparing must not need torch"
for name in sys.argv[1:]:
    __import__(name)
for name in ("mlflow", "typer", "optuna", "dgl", "alignn", "peft"):
    assert name not in sys.modules, name
assert threading.active_count() == before, threading.enumerate()
"""


def test_importing_the_science_leaves_no_trace(tmp_path):
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", IMPORT_ALL, *below("supervision")]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.rglob("*")) == []


# --- tests that need the real data

HIDING = """
import pytest

@pytest.mark.shared
def test_skips(): pytest.skip("by hand")

@pytest.mark.shared
@pytest.mark.skipif(True, reason="by mark")
def test_skipif(): pass

@pytest.mark.shared
def test_uses_fixture(shared_data): assert shared_data.is_dir()

@pytest.mark.shared
@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False

def test_other(): pytest.skip("not about the data")
"""


def outcomes(project):
    """Name -> what pytest says of it, in a project with our conftest and the tests above."""
    (project / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", project / "tests")
    shutil.copy(ROOT / "pyproject.toml", project)
    (project / "tests" / "test_hiding.py").write_text(HIDING)
    command = [sys.executable, "-m", "pytest", "-v", "--no-header", "-n", "0"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    lines = [line.split("::test_")[1].split() for line in done.stdout.splitlines() if "::" in line]
    return {words[0]: words[1] for words in lines if words[1].isupper()}, done


def test_where_the_data_are_a_skipped_test_of_them_fails(tmp_path):
    (tmp_path / "shared" / "data").mkdir(parents=True)
    found, done = outcomes(tmp_path / "checkout")
    assert found == {
        "skips": "FAILED",
        "skipif": "ERROR",
        "uses_fixture": "PASSED",
        "known": "XFAIL",
        "other": "SKIPPED",
    }
    assert done.returncode == 1
    assert "which is there, but: Skipped: by hand" in done.stdout


def test_where_the_data_are_not_it_skips_with_a_reason(tmp_path):
    found, done = outcomes(tmp_path / "checkout")
    assert found == {
        "skips": "SKIPPED",
        "skipif": "SKIPPED",
        "uses_fixture": "SKIPPED",
        "known": "XFAIL",
        "other": "SKIPPED",
    }
    assert done.returncode == 0
    assert "the real data are not at" in done.stdout
