"""What all tests share: quiet threads, no one's MLflow run, no hub, and the real data's door."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

# Before torch or MLflow is imported, by a test or by a process that a test starts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(4, (os.cpu_count() or 1) // 2))))
os.environ.setdefault("DGLBACKEND", "pytorch")  # else dgl writes a file into the home folder
os.environ["HF_HUB_OFFLINE"] = "1"  # `weights=auto` means the same on every machine
for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
    del os.environ[name]  # `mlflow run -e test` hands its own run down

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end the workers share many short ones."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; for tests marked ``shared``."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"the real data are not at {SHARED / 'data'}")
    return SHARED / "data"


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Numbers below 1e-38 count again after a test that had a network.

    Where they are taken as zero, scipy's ``cKDTree`` can end in a segmentation fault.
    """
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SUPERVISION_CACHE", str(folder))
    return folder


@pytest.fixture
def no_released(tmp_path, monkeypatch) -> None:
    """A clone without released models."""
    from supervision.answer import released

    monkeypatch.setattr(released, "released_folder", lambda: tmp_path / "not released")


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """The SQLite file of a tracking store, all tables empty: to make them takes a second or two."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("database")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder))
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM experiments")  # it knows where its artifacts would be
    return folder / "mlflow.db"


@pytest.fixture
def own_store(tmp_path, monkeypatch, database) -> Iterator[None]:
    """A tracking store of the test's own, in a folder of its own."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "TMPDIR", str(tmp_path)
    )  # other trainings on this machine must not interfere
    monkeypatch.setattr("tempfile.tempdir", None)
    before = mlflow.get_tracking_uri()
    shutil.copy(database, tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory, database) -> Iterator[tuple[Path, dict[str, str]]]:
    """A tracking store for commands that users run: its folder, and the environment to reach it."""
    import mlflow

    folder = tmp_path_factory.mktemp("store")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(folder),  # other trainings on this machine must not interfere
    }
    before, here = mlflow.get_tracking_uri(), Path.cwd()
    shutil.copy(database, folder)
    mlflow.set_tracking_uri(environment["MLFLOW_TRACKING_URI"])
    os.chdir(folder)  # the store keeps artifacts beside where it is first opened
    mlflow.get_experiment("0")
    os.chdir(here)
    yield folder, environment
    mlflow.set_tracking_uri(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Where the real data are there, a test that needs them may not be skipped."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and item.get_closest_marker("shared") and SHARED.is_dir():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs {SHARED}, which is there, but: {reason}"
    return report
