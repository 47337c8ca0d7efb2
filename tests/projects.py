"""Our MLflow project as a user runs it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command_of(name, **parameters):
    """``mlflow run`` of an entry point with these parameters."""
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", name]
    command += ["--env-manager", "local"]
    for key, value in parameters.items():
        command += ["-P", f"{key}={value}"]
    return command
