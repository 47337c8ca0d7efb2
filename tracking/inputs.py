"""What a model is trained and judged on, as a run remembers it."""

import tempfile
from pathlib import Path

import mlflow

from supervision.experiment.spec import DataSplits
from supervision.models.setup import WeightsInfo
from tracking import runs


def log_inputs(prepared: DataSplits, origin: WeightsInfo) -> None:
    """Hashes, counts, the materials and the split file."""
    runs.log_params(
        {
            "dataset_hash": prepared.dataset.hash,
            "split_hash": prepared.split.hash,
            "split_grouped_by": prepared.split.grouped_by,
            "weights_hash": origin.hash,
            "materials": len(prepared.materials),
            "structures": len(prepared.dataset.crystals),
            "rejected": len(prepared.dataset.rejects),
        }
    )
    runs.log_dataset(prepared.materials, prepared.dataset.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.csv"
        prepared.split.save(path)
        mlflow.log_artifact(str(path))
