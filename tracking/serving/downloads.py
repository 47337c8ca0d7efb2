"""Downloads from the tracking store, deleted when the process ends."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import mlflow


def download(uri: str) -> Path:
    """A local copy of an artifact of a run, or of a model, by its URI.

    Raises MlflowException or OSError where there is none.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a line for every file
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=temporary_folder()))


def temporary_folder() -> str:
    """An empty folder that is deleted when the process ends; MLflow would keep its own."""
    folder = tempfile.mkdtemp(prefix="supervision-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
