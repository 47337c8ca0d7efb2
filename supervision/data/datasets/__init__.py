"""Data sets: ``classics`` (embedded), ``3dsc`` and ``jarvis_supercon``, or a file or folder."""

from supervision.data.crystals import Dataset
from supervision.data.datasets.load import load_dataset

__all__ = ["Dataset", "load_dataset"]
