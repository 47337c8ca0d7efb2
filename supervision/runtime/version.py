"""The version of this code."""

import hashlib
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def package_version() -> str:
    """The version of the installed package; empty where the code runs without being installed."""
    try:
        return version("supervision-tc")
    except PackageNotFoundError:
        return ""


def code_version() -> str:
    """The git commit (with ``-dirty`` for changed files), or a source hash where git is missing."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        if (ROOT / ".git").exists():  # else git described a repository that contains this folder
            return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return f"source-{source_hash(('supervision', 'tracking', 'entrypoints'))[:12]}"


def source_hash(folders: Sequence[str] = ("supervision",)) -> str:
    """sha256 of the Python files and CSV tables in these folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".csv"):
                digest.update(path.read_bytes())
    return digest.hexdigest()
