"""The folder of a result, which takes the place of no other."""

from pathlib import Path

from supervision.data.errors import DatasetError


def make_empty_folder(path: Path) -> None:
    """Create a folder unless it is there. Raises DatasetError for one that has content."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetError(f"{path} is not an empty folder; name another one with --out.")
    path.mkdir(parents=True, exist_ok=True)
