"""Crystals a second of a screening, by model and engine, and its memory as the source grows.

    python -m benchmarks.screen                                   # a quarter of an hour, 2 cores
    python -m benchmarks.screen --data FOLDER --models fast

The crystals are those of 3DSC (a folder of CIF files, or its archive). Each row is a screening in a
process of its own; the time of the answers is that from the first process to the last answer,
loading the model included, without reading the source and without ranking. Memory is the largest
sum over all of its processes (proportional set size, in which shared pages count once), sampled;
that of the JVM is in it. For the last table the same crystals are repeated under other names.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from supervision.answer.released import find_released
from supervision.runtime.version import ROOT
from supervision.screening import screen as screening
from supervision.screening.filters import AnswerFilters, StructureFilters
from supervision.screening.screen import ScreenOptions, screen
from supervision.screening.sources.candidate import Candidate
from supervision.screening.sources.candidates import candidates

DATA = ROOT.parent / "shared" / "data" / "3dsc" / "3DSC_MP.tar.xz"
ENGINES: dict[str, dict[str, Any]] = {
    "1 process": {"workers": 1},
    "2 processes": {"workers": 2},
    "Spark local[2]": {"engine": "spark", "engine_options": "master=local[2]"},
}
SHARD_ROWS = 1_000  # 12 shards, so that two processes end together
SIZES = (5_000, 50_000)  # rows; both fill the buffers of the ranking
SAMPLE_SECONDS = 0.5


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default=str(DATA), help="CIF files of 3DSC")
    parser.add_argument("--models", default="fast,ensemble", help="released models")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # a screening, in its process
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_screen(**json.loads(options.one))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        every = _table(options.data, folder / "all.parquet", None)
        rows = [
            _row(
                {"model": model, "engine": name}, model, every, folder / f"{model}-{name}", setting
            )
            for model in options.models.split(",")
            for name, setting in ENGINES.items()
        ]
        print(_markdown(pd.DataFrame(rows)), flush=True)
        grown = [
            _row({"crystals": f"{size:,}"}, "fast", _table(options.data, folder / f"{size}.parquet",
                 size), folder / str(size), ENGINES["2 processes"])
            for size in SIZES
        ]  # fmt: skip
        print(_markdown(pd.DataFrame(grown)), flush=True)


def _table(source: str, path: Path, size: int | None) -> Path:
    """The crystals of a source as a Parquet table; with a size, repeated or cut to it."""
    found = [c for c in candidates(source) if isinstance(c, Candidate) and c.cif]
    chosen: list[Candidate] = found if size is None else _repeated(found, size)
    ids = [f"{number} {candidate.id}" for number, candidate in enumerate(chosen)]
    pq.write_table(pa.table({"id": ids, "cif": [c.cif for c in chosen]}), path)
    return path


def _repeated(found: list[Candidate], size: int) -> list[Candidate]:
    endless: Iterator[Candidate] = chain.from_iterable(repeat(found))
    return [next(endless) for _ in range(size)]


def _row(
    head: dict[str, str], model: str, source: Path, out: Path, setting: dict[str, Any]
) -> dict[str, str]:
    """Screen in another process, and watch the memory of all of its processes."""
    given = {"model": model, "source": str(source), "out": str(out), "setting": setting}
    command = [sys.executable, "-m", "benchmarks.screen", "--one", json.dumps(given)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    peak = [0]
    watch = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watch.start()
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"The screening {head} failed.")
    found = json.loads(printed.splitlines()[-1])
    return head | {
        "crystals/s": f"{found['crystals'] / found['answers']:.0f}",
        "answers (s)": f"{found['answers']:.0f}",
        "reading (s)": f"{found['reading']:.1f}",
        "ranking, report (s)": f"{found['ranking']:.1f}",
        "memory (MB)": f"{peak[0] / 1e6:.0f}",
    }


def _screen(model: str, source: str, out: str, setting: dict[str, Any]) -> dict[str, float]:
    """The seconds of each step of a screening."""
    began = time.monotonic()
    marks: list[float] = []
    answer = screening._answer

    def timed(*arguments: Any) -> Any:
        marks.append(time.monotonic())
        found = answer(*arguments)
        marks.append(time.monotonic())
        return found

    screening._answer = timed  # type: ignore[assignment]
    options = ScreenOptions(shard_rows=SHARD_ROWS, **setting)
    found = screen(
        source, Path(out), find_released(model), options, StructureFilters(), AnswerFilters()
    )
    return {
        "crystals": found.candidates,
        "reading": marks[0] - began,
        "answers": marks[1] - marks[0],
        "ranking": time.monotonic() - marks[1],
    }


def _watch(pid: int, peak: list[int]) -> None:
    """Keep the largest memory of a process and all below it."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        while True:
            total = 0
            for process in [first, *first.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
            peak[0] = max(peak[0], total)
            time.sleep(SAMPLE_SECONDS)


def _markdown(table: pd.DataFrame) -> str:
    align = ("left", *["right"] * (table.columns.size - 1))
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=align)) + "\n"


if __name__ == "__main__":
    main()
