"""The house holds: imports go one way, nothing runs at import, no real-data test hides."""

import ast
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
    expected = {"supervision.training.trainer", "tracking.runs", "entrypoints.train_dino"}
    assert expected <= set(MODULES)
    assert "supervision.data.crystals" in IMPORTS["supervision.data.datasets.load"]
    assert "mlflow" in IMPORTS["tracking.runs"]
    assert "peft" in IMPORTS["supervision.models.vision.model"]  # imported inside a function


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import mlflow.pyfunc as m", {"mlflow.pyfunc"}),
        ("from supervision import doctor", {"supervision", "supervision.doctor"}),
        ("def f():\n    import dgl", {"dgl"}),
        (
            "from . import scene",
            {"supervision.models.vision", "supervision.models.vision.scene"},
        ),
        ("from ..head import Head", {"supervision.models.head", "supervision.models.head.Head"}),
    ],
)
def test_the_reader_of_imports_sees_them_all(source, found):
    assert set(imported("supervision.models.vision.data", ast.parse(source))) == found


# --- floors: a folder imports only from those above it in this list

FLOORS = (
    "supervision.runtime",
    "supervision.data",
    "supervision.evaluation",
    "supervision.training",
    "supervision.models",
    "supervision.experiment",
    "supervision.doctor",
    "tracking",
    "entrypoints",
)


def floor_of(name):
    return next((i for i, floor in enumerate(FLOORS) if f"{name}.".startswith(f"{floor}.")), None)


def reached(start, direct):
    """All modules of ours that importing ``start`` reaches through ``direct`` imports."""
    known, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        for found in (direct(name) & set(MODULES)) - known:
            known.add(found)
            waiting.append(found)
    return known


def at_the_top(name):
    """What a module imports as soon as it is imported itself."""
    top = [node for node in TREES[name].body if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(imported(name, ast.Module(top, [])))


def anywhere(name):
    """What a module imports at the top, inside functions and for type checkers."""
    return IMPORTS[name]


def test_every_module_stands_on_a_floor():
    rooms = [name for name in MODULES if name.split(".")[0] != "benchmarks"]
    assert [name for name in rooms if floor_of(name) is None] == ["supervision"]  # the API


@pytest.mark.parametrize("name", [name for name in MODULES if floor_of(name) is not None])
def test_a_folder_reaches_only_folders_below_it(name):
    above = [m for m in reached(name, anywhere) if (floor_of(m) or 0) > floor_of(name)]
    assert above == []


def test_no_module_reaches_itself():
    assert [name for name in MODULES if name in reached(name, anywhere)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_nobody_imports_what_stands_beside_the_product(room):
    never = ["tests", "benchmarks"] if room != "benchmarks" else ["tests", "entrypoints"]
    assert breaches(below(room), never) == []


def test_the_science_knows_no_tracker_and_no_command_line():
    assert breaches(below("supervision"), ["mlflow", "typer", "optuna"]) == []


def test_only_tracking_imports_mlflow():
    assert breaches(below("supervision", "benchmarks", "entrypoints"), ["mlflow"]) == []


def test_training_knows_no_model():
    others = ["dgl", "timm", "alignn", "peft", "pymatgen", "cv2"]
    known = {"supervision.training.trainer"} | reached("supervision.training.trainer", anywhere)
    assert breaches(known, others) == []


@pytest.mark.parametrize(
    "name", [n for n in MODULES if n.startswith("supervision.models.composition")]
)
def test_composition_needs_neither_torch_nor_psutil(name):
    known = {name} | reached(name, at_the_top)
    assert [
        m for m in known if {"torch", "psutil"} & {f.partition(".")[0] for f in at_the_top(m)}
    ] == []


@pytest.mark.parametrize("name", ["train_dino", "train_alignn"])
def test_a_bare_machine_can_train(name):
    start = {f"entrypoints.{name}", "supervision.training.two_stage"}  # which fit() imports
    known = start.union(*(reached(name, at_the_top) for name in start))
    assert {
        "supervision.training.trainer",
        "supervision.experiment.run_folder",
        "supervision.data.archive",
    } <= known
    assert {f.partition(".")[0] for name in known for f in at_the_top(name)} & HIDDEN == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.endswith(".model")])
def test_models_never_see_data_sets(name):
    data = ["supervision.data.datasets", "supervision.data.crystals", "supervision.data.splits"]
    assert breaches({name} | reached(name, anywhere), [*data, "pandas"]) == []


def test_the_other_project_of_our_name_is_not_required():
    lines = (ROOT / "requirements.txt").read_text().lower().splitlines()
    assert not any(line.split("=")[0].strip() == "supervision" for line in lines)


# --- at import

DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
GUARDS = ("__name__ == '__main__'", "TYPE_CHECKING")
SAID_AT_IMPORT = {
    "entrypoints": ["os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')"],
    "tracking.serving.pyfunc": ["mlflow.models.set_model(TcModel())"],  # how MLflow loads from code
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
import supervision.data.crystals, supervision.data.datasets, supervision.data.splits
import supervision.evaluation.metrics, supervision.models.vision.featurize
import supervision.models.graph.featurize, supervision.models.composition.features
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
