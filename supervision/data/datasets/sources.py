"""Loading a source that is trained on beside a data set, by its name."""

from supervision.data.crystals import Dataset
from supervision.data.datasets.load import load_dataset
from supervision.data.datasets.supercon import load_supercon
from supervision.data.errors import DatasetError
from supervision.data.sources import SOURCES


def load_source(name: str, data: str = "") -> Dataset:
    """Read a source.

    Args:
        name: a key of ``SOURCES``.
        data: path of a local copy; empty to download it.

    The crystals of a source without structures have no CIF text. Raises DatasetError if the source
    is unknown or cannot be read.
    """
    if name not in SOURCES:
        raise DatasetError(f"source '{name[:200]}' is unknown: give {', '.join(SOURCES)}.")
    if name == "supercon":
        crystals, rejects = load_supercon(data)
        return Dataset(name, tuple(crystals), tuple(rejects))
    return load_dataset(name, data)
