"""Milliseconds that a model takes for a crystal, in a process of its own, with its own code.

    python -m tracking.serving.timing MODEL COUNT

MODEL is a model's URI, or a folder with a saved predictor. Prints the mean over COUNT crystals of
the embedded data set, from CIF text to Tc, one at a time, after a first crystal that is not timed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import mlflow
import numpy as np

from supervision.data.datasets import load_dataset
from supervision.runtime.version import ROOT
from tracking.serving.models import load_model

TIMEOUT_SECONDS = 600


def milliseconds(model: str, count: int) -> float:
    """Time a model in another process. Raises RuntimeError with the last line of its errors."""
    command = [sys.executable, "-m", "tracking.serving.timing", model, str(count)]
    store = {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}  # its folder is another one
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | store, capture_output=True, text=True,
        timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else "it failed without a message")
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the mean."""
    model, count = sys.argv[1], int(sys.argv[2])
    crystals = load_dataset("classics").crystals
    chosen = np.linspace(0, len(crystals) - 1, count + 1).astype(int)
    print(mean_milliseconds(load_model(model).answer, [crystals[i].cif for i in chosen]))


def mean_milliseconds(predict: Callable[[str], object], cifs: Sequence[str]) -> float:
    """Mean milliseconds per prediction, without the first."""
    predict(cifs[0])
    started = time.perf_counter()
    for cif in cifs[1:]:
        predict(cif)
    return 1000 * (time.perf_counter() - started) / (len(cifs) - 1)


if __name__ == "__main__":
    main()
