"""What this process fetches from the tracking store goes when the process ends."""

import atexit
import shutil
import tempfile
from pathlib import Path

import mlflow


def download(uri: str) -> Path:
    """An artifact of a run or a model, by its URI. Raises what MLflow raises where it has none."""
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=passing_folder()))


def passing_folder() -> str:
    """An empty folder that is gone with this process: MLflow's own stay, a model's size each."""
    folder = tempfile.mkdtemp(prefix="supervision-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
