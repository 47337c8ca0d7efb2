"""The environment of child processes that run modules of this project."""

import os
from collections.abc import Mapping

from supervision.runtime.version import ROOT


def child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, extended so that a child finds this project's modules.

    Start the child in the current folder (no ``cwd``). A relative path, such as the default
    tracking store ``sqlite:///mlflow.db`` or a journal file, then names the same file in parent
    and child. ``PYTHONPATH`` begins with the folder that holds this project's packages.
    ``PYTHONSAFEPATH`` keeps ``python -m`` from searching the current folder first: a file
    ``tracking.py`` there would otherwise hide ours.

    Args:
        variables: further variables; they replace inherited ones of the same name.
    """
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    search_path = [str(ROOT), *(entry for entry in inherited if entry)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(search_path),
        "PYTHONSAFEPATH": "1",
        **(variables or {}),
    }
