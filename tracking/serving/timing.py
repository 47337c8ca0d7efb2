"""How long a model takes for a crystal, in a process of its own, with the code it was logged with.

    python -m tracking.serving.timing MODEL COUNT

MODEL is a model's URI, or a folder with a saved predictor. Prints milliseconds a crystal, from CIF
text to Tc, one at a time: the mean over COUNT crystals of the embedded data set after a first one.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from supervision.data.crystals import Crystal
from supervision.data.datasets import load_dataset
from supervision.models.predictor import load_predictor
from supervision.runtime.version import ROOT
from tracking.serving.models import open_model, predict_tc

MINUTES = 10


def milliseconds(model: str, count: int) -> float:
    """Time a model in another process. Raises RuntimeError with what that one said at last."""
    command = [sys.executable, "-m", "tracking.serving.timing", model, str(count)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60 * MINUTES, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else "it said nothing")
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the mean."""
    place, count = sys.argv[1], int(sys.argv[2])
    crystals = load_dataset("classics").crystals
    picks = np.linspace(0, len(crystals) - 1, count + 1).astype(int)
    print(mean_milliseconds(_opened(place), [crystals[i].cif for i in picks]))


def mean_milliseconds(ask: Callable[[str], object], cifs: Sequence[str]) -> float:
    """Milliseconds that an answer takes, the first left out."""
    ask(cifs[0])
    began = time.perf_counter()
    for cif in cifs[1:]:
        ask(cif)
    return 1000 * (time.perf_counter() - began) / (len(cifs) - 1)


def _opened(place: str) -> Callable[[str], float]:
    if Path(place).is_dir():
        predictor = load_predictor(Path(place))
        return lambda cif: float(predictor.predict([Crystal("", "", cif)])[0])
    model = open_model(place)
    return lambda cif: predict_tc(model, cif)


if __name__ == "__main__":
    main()
