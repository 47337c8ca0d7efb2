"""The inputs of a run: its materials, their split, and the hashes of data, split and weights."""

import tempfile
from collections import Counter
from pathlib import Path

import mlflow

from supervision.data.quantity import TC, Quantity
from supervision.data.splits import NEAR
from supervision.experiment.spec import DataSplits
from supervision.models.setup import WeightsInfo
from tracking import runs


def log_inputs(splits: DataSplits, weights: WeightsInfo, quantity: Quantity = TC) -> None:
    """Log hashes and counts as params, the materials as the run's data set, and ``split.csv``."""
    counts = {f"left_out_{part}": len(splits.part(part)) for part in NEAR.values()}
    if splits.extra:
        parts = Counter(splits.extra_parts.values())
        counts |= {f"extra_{part}": number for part, number in sorted(parts.items())}
    runs.log_params({name.replace(" ", "_"): number for name, number in counts.items()})
    runs.log_params(
        {
            "extra_hash": splits.extra_hash,
            "dataset_hash": splits.dataset.hash,
            "split_hash": splits.split.hash,
            "split_grouped_by": splits.split.grouped_by,
            "weights_hash": weights.hash,
            "materials": len(splits.materials),
            "structures": len(splits.dataset.crystals),
            "rejected": len(splits.dataset.rejects),
        }
    )
    runs.log_dataset(splits.materials, splits.dataset.name, quantity)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.csv"
        splits.split.save(path)
        mlflow.log_artifact(str(path))
