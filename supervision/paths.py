"""Where things that can be made again are kept."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder, made if need be: ``$SUPERVISION_CACHE`` or ``~/.cache/supervision``."""
    path = Path(os.environ.get("SUPERVISION_CACHE") or Path.home() / ".cache" / "supervision")
    path.mkdir(parents=True, exist_ok=True)
    return path
