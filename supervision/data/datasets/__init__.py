"""Data sets by name (``classics`` is embedded), or from a file or folder of the user."""

from supervision.data.crystals import Dataset
from supervision.data.datasets.load import load_dataset

__all__ = ["Dataset", "load_dataset"]
