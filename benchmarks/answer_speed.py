"""How long an answer takes: from a cold start, and a crystal from its CIF text.

    python -m benchmarks.answer_speed    # a minute; needs no data

The cold start is that of ``predict`` on 20 files of the embedded data set, ordered and disordered,
two of them broken, in an empty folder. A crystal is predicted by itself, from text, on one core;
the answer adds interval, domain and neighbours.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables import markdown
from supervision.answer.answerer import Answerer
from supervision.answer.released import find_released
from supervision.data.crystals import Crystal
from supervision.data.datasets.classics import load_classics
from supervision.runtime.version import ROOT

FILES, BROKEN, REPEATS = 20, 2, 3
MODELS = {"ensemble": (), "fast": ("--fast",)}  # and the options that choose them
SAMPLE = 200  # crystals
AIM = 5  # ms a crystal


def main() -> None:
    """Print both tables."""
    crystals = load_classics()
    print(markdown(pd.DataFrame([_cold_start(name, crystals) for name in MODELS])), end="\n\n")
    print(
        markdown(pd.DataFrame([_per_crystal(name, crystals[:SAMPLE]) for name in MODELS])),
        end="\n\n",
    )


def _cold_start(name: str, crystals: Sequence[Crystal]) -> dict[str, str]:
    """Seconds of the command, and of the processor."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "structures"
        folder.mkdir()
        step = len(crystals) // FILES
        for number, crystal in enumerate(crystals[::step][:FILES]):
            text = crystal.cif[: len(crystal.cif) // 2] if number < BROKEN else crystal.cif
            (folder / f"{crystal.id}.cif").write_text(text)
        command = [sys.executable, "-m", "entrypoints.predict", "structures", *MODELS[name]]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
        wall = []
        for _ in range(REPEATS):
            start = time.monotonic()
            subprocess.run(
                command, cwd=temporary, env=kept | {"PYTHONPATH": str(ROOT)}, check=True,
                capture_output=True,
            )  # fmt: skip
            wall.append(time.monotonic() - start)
    shown = ", ".join(f"{seconds:.2f}" for seconds in wall)
    return {"model": name, f"`predict` on {FILES} files (s)": shown}


def _per_crystal(name: str, crystals: Sequence[Crystal]) -> dict[str, str]:
    """Milliseconds of processor time a crystal: median, 95th percentile and mean."""
    answerer = Answerer.load(find_released(name).folder)
    steps: dict[str, Callable[[Crystal], object]] = {
        "Tc": lambda crystal: answerer.predictor.predict([crystal]),
        "answer": lambda crystal: answerer.answer([crystal]),
    }
    row = {"model": name}
    for title, step in steps.items():
        step(replace(crystals[0]))  # tables are read once
        spent = [_milliseconds(step, replace(crystal)) for crystal in crystals]  # not parsed yet
        median, high = np.percentile(spent, [50, 95])
        row[f"{title} (ms)"] = f"{median:.1f} (95%: {high:.1f}, mean: {np.mean(spent):.1f})"
        row[f"{title} over {AIM} ms"] = f"{(np.array(spent) > AIM).mean():.0%}"
    return row


def _milliseconds(step: Callable[[Crystal], object], crystal: Crystal) -> float:
    start = time.process_time()
    step(crystal)
    return 1000 * (time.process_time() - start)


if __name__ == "__main__":
    main()
