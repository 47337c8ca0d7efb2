"""Structure of the code: direction of imports, no side effects at import, no hidden skips."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bare import HIDDEN

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("supervision", "tracking", "entrypoints", "benchmarks")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imported(name, tree):
    """Full names of all imports of a module: ``a.b`` and, for from-imports, also ``a.b.c``."""
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


def violations(modules, forbidden):
    """``module -> import`` for each import of a forbidden package or its contents."""
    return [
        f"{name} -> {found}"
        for name in modules
        for found in sorted(IMPORTS[name])
        if any(found == package or found.startswith(f"{package}.") for package in forbidden)
    ]


def modules_of(*packages):
    return [name for name in MODULES if name.split(".")[0] in packages]


def test_modules_and_imports_are_found():
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
def test_all_kinds_of_imports_are_found(source, found):
    assert set(imported("supervision.models.vision.data", ast.parse(source))) == found


# --- layers: a package imports only from those before it in this list

LAYERS = (
    "supervision.runtime",
    "supervision.data",
    "supervision.evaluation",
    "supervision.training",
    "supervision.models",
    "supervision.generation",
    "supervision.answer",
    "supervision.explain",
    "supervision.experiment",
    "supervision.release",
    "supervision.screening",
    "supervision.design",
    "supervision.web",
    "supervision.doctor",
    "tracking",
    "entrypoints",
)


def layer_of(name):
    return next((i for i, layer in enumerate(LAYERS) if f"{name}.".startswith(f"{layer}.")), None)


def reachable(start, direct):
    """All modules of the project that ``start`` imports through ``direct``, also indirectly."""
    known, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        for found in (direct(name) & set(MODULES)) - known:
            known.add(found)
            waiting.append(found)
    return known


def imports_at_top(name):
    """The imports of a module that run when it is imported."""
    top = [node for node in TREES[name].body if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(imported(name, ast.Module(top, [])))


def all_imports(name):
    """All imports of a module: at the top, inside functions and for type checkers."""
    return IMPORTS[name]


def test_each_module_is_in_a_layer():
    modules = [name for name in MODULES if name.split(".")[0] != "benchmarks"]
    assert [name for name in modules if layer_of(name) is None] == ["supervision"]  # the API


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name) is not None])
def test_a_module_imports_only_from_its_layer_and_earlier_ones(name):
    above = [m for m in reachable(name, all_imports) if (layer_of(m) or 0) > layer_of(name)]
    assert above == []


def test_there_are_no_circular_imports():
    assert [name for name in MODULES if name in reachable(name, all_imports)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_and_benchmarks_are_not_imported(package):
    forbidden = ["tests", "benchmarks"] if package != "benchmarks" else ["tests", "entrypoints"]
    assert violations(modules_of(package), forbidden) == []


def test_supervision_imports_no_tracker_and_no_command_line_package():
    assert violations(modules_of("supervision"), ["mlflow", "typer", "optuna"]) == []


def test_only_tracking_imports_mlflow():
    assert violations(modules_of("supervision", "benchmarks", "entrypoints"), ["mlflow"]) == []


def test_the_trainer_imports_no_model():
    others = ["dgl", "timm", "alignn", "peft", "pymatgen", "cv2"]
    known = {"supervision.training.trainer"} | reachable(
        "supervision.training.trainer", all_imports
    )
    assert violations(known, others) == []


@pytest.mark.parametrize(
    "name", [n for n in MODULES if n.startswith("supervision.models.composition")]
)
def test_composition_requires_neither_torch_nor_psutil(name):
    known = {name} | reachable(name, imports_at_top)
    assert [
        m for m in known if {"torch", "psutil"} & {f.partition(".")[0] for f in imports_at_top(m)}
    ] == []


def test_an_explanation_imports_the_libraries_of_models_only_when_they_explain():
    start = {"supervision.explain.explanation", "supervision.explain.page"}
    known = start.union(*(reachable(name, imports_at_top) for name in start))
    imports = {f.partition(".")[0] for name in known for f in imports_at_top(name)}
    assert imports & {"lightgbm", "torch", "timm", "sklearn"} == set()


@pytest.mark.parametrize("name", ["train_dino", "train_alignn"])
def test_training_requires_no_hidden_package(name):
    start = {f"entrypoints.{name}", "supervision.training.two_stage"}  # which fit() imports
    known = start.union(*(reachable(name, imports_at_top) for name in start))
    assert {
        "supervision.training.trainer",
        "supervision.experiment.run_folder",
        "supervision.data.archive",
    } <= known
    assert {f.partition(".")[0] for name in known for f in imports_at_top(name)} & HIDDEN == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.endswith(".model")])
def test_models_do_not_import_data_sets(name):
    data = ["supervision.data.datasets", "supervision.data.crystals", "supervision.data.splits"]
    assert violations({name} | reachable(name, all_imports), [*data, "pandas"]) == []


def test_the_other_package_named_supervision_is_not_required():
    lines = (ROOT / "requirements.txt").read_text().lower().splitlines()
    assert not any(line.split("=")[0].strip() == "supervision" for line in lines)


# --- at import

DEFINITIONS = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
)
GUARDS = ("__name__ == '__main__'", "TYPE_CHECKING")
RUN_AT_IMPORT = {
    "entrypoints": ["os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')"],
    "tracking.serving.pyfunc": ["mlflow.models.set_model(TcModel())"],  # how MLflow loads from code
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_only_define_names_at_import(name):
    for node in TREES[name].body:
        text = ast.unparse(node)
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) in GUARDS, text
        elif isinstance(node, ast.Expr):
            docstring = isinstance(node.value, ast.Constant)
            assert docstring or text in RUN_AT_IMPORT.get(name, []), text
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
assert "torch" not in sys.modules, "preparing must not require torch"
for name in sys.argv[1:]:
    __import__(name)
for name in ("mlflow", "typer", "optuna", "dgl", "alignn", "peft"):
    assert name not in sys.modules, name
assert threading.active_count() == before, threading.enumerate()
"""


def test_importing_supervision_has_no_side_effects(tmp_path):
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", IMPORT_ALL, *modules_of("supervision")]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.rglob("*")) == []


# --- skipped tests of the real data

SKIPPING_TESTS = """
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
    """Name -> outcome of the tests above in a project with our conftest; and the process."""
    (project / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", project / "tests")
    shutil.copy(ROOT / "pyproject.toml", project)
    (project / "tests" / "test_hiding.py").write_text(SKIPPING_TESTS)
    command = [sys.executable, "-m", "pytest", "-v", "--no-header", "-n", "0"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    lines = [line.split("::test_")[1].split() for line in done.stdout.splitlines() if "::" in line]
    return {words[0]: words[1] for words in lines if words[1].isupper()}, done


def test_a_skipped_test_of_the_real_data_fails_if_they_are_present(tmp_path):
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


def test_a_test_of_the_real_data_is_skipped_if_they_are_absent(tmp_path):
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
