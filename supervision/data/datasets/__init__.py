"""Named data sets: ``classics`` (embedded), ``3dsc`` (a release), or a path of one's own."""

from supervision.data.crystals import Dataset
from supervision.data.datasets.load import load_dataset

__all__ = ["Dataset", "load_dataset"]
