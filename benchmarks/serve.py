"""Requests a second and their latency: released models, asked by many clients over HTTP.

    python -m benchmarks.serve                     # the app's server; a quarter of an hour
    python -m benchmarks.serve --server mlflow     # mlflow models serve

The server is a process of its own, the clients are threads of this one, and both share the cores.
First a request of all crystals and one of each crystal warm the server up. Then each row of the
table is a period in which every client asks again as soon as it has its answer; requests that run
at its end are waited for and counted, also in the time. Latencies are of requests whose crystals
all have an answer.

The crystals are drawn from 3DSC or, where that is not there, from the embedded data set.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.servers import PATHS, Reply, Server, keep_asking, post, serving
from benchmarks.tables import markdown
from supervision.answer.released import PREFIX, find_released
from supervision.data.crystals import Crystal
from supervision.data.datasets import load_dataset
from supervision.models.families import get_family
from supervision.models.predictor import CONFIG_FILE
from supervision.runtime.version import ROOT, code_version

MODELS = ("vision", "graph", "composition", "ensemble", "fast")
CLIENTS = (1, 8, 32)
SAMPLE, SEED = 64, 0  # crystals
SIZES = (1, SAMPLE)  # crystals in a request
ARCHIVE = ROOT.parent / "shared/data/3dsc/3DSC_MP.tar.xz"
PUBLIC = {"vision": 165.0, "graph": 67.0}  # ms a sample, on an Apple M1
AIMS = {"ensemble": 60.0, "graph": 20.0, "fast": 5.0}  # ms a crystal
PERCENTILES = (50, 95, 99)
LATENCIES = ", ".join(f"p{p}" for p in PERCENTILES) + " (ms)"
EXPLANATION = (
    "`rows`: crystals in a request. `ms/crystal`: the time of a row of the table, divided by its "
    "crystals that were answered. `errors`: crystals that were not."
)
AGAINST = (
    f"Milliseconds a crystal, asked for by one client in requests of 1 and of {SAMPLE}; the public "
    "figure for an Apple M1, its ratio to ours in requests of 1, and the aim."
)


@dataclass(frozen=True)
class Period:
    """What clients got from a server that they kept busy.

    Attributes:
        size: crystals in each request.
        elapsed: seconds from the first request to the last reply.
        latencies: seconds of each request whose crystals all have an answer.
        answered: crystals with an answer.
        errors: crystals of refused requests, and those that have an error instead.
    """

    model: str
    size: int
    clients: int
    elapsed: float
    latencies: Sequence[float]
    answered: int
    errors: int

    @property
    def milliseconds(self) -> float:
        """Of the period, for each crystal that was answered."""
        return 1000 * self.elapsed / self.answered if self.answered else np.nan

    def row(self) -> dict[str, str]:
        """The row of the table."""
        quantiles = 1000 * np.percentile(self.latencies or [np.nan], PERCENTILES)
        return {
            "model": self.model,
            "rows": str(self.size),
            "clients": str(self.clients),
            "req/s": _digits(len(self.latencies) / self.elapsed),
            LATENCIES: ", ".join(map(_digits, quantiles)),
            "ms/crystal": _digits(self.milliseconds),
            "errors": str(self.errors),
        }


def main() -> None:
    """Print the table of all periods, and the time of a crystal beside the public figures."""
    options = _options()
    crystals, source = _crystals(options.data)
    periods = []
    for name in options.models.split(","):
        with _served(name, options.server) as server:
            _warm_up(server, crystals)
            for size in SIZES:
                for clients in CLIENTS:
                    print(f"{name}: {size} crystals, {clients} clients", file=sys.stderr)
                    found = _measure(name, server, crystals, size, clients, options.seconds)
                    periods.append(found)
    print(f"Server: {options.server}, code {code_version()}, {os.cpu_count()} cores.")
    print(f"{len(crystals)} crystals of {source}; {options.seconds:g} s a row.\n")
    print(markdown(pd.DataFrame([period.row() for period in periods])))
    print(f"\n{EXPLANATION}\n\n{AGAINST}\n")
    print(markdown(_against_figures(periods)))


def _crystals(data: Path) -> tuple[list[Crystal], str]:
    """The crystals to ask for, and where they are from."""
    if data.exists():
        source, crystals = "3DSC", load_dataset("3dsc", str(data)).crystals
    else:
        source, crystals = f"classics, as {data} is not there", load_dataset("classics").crystals
    return random.Random(SEED).sample(crystals, SAMPLE), source


@contextmanager
def _served(name: str, kind: str) -> Iterator[Server]:
    """A server of a released model; for MLflow's it is registered in a store of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
        environment = kept | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        model = PREFIX + name if kind == "app" else _register(name, folder, environment)
        with serving(model, environment, folder / "log", kind=kind) as server:
            yield server


def _register(name: str, folder: Path, environment: dict[str, str]) -> str:
    """The URI of a released model that is registered in the store of the environment."""
    command = [sys.executable, "-m", "entrypoints.release", "--models", name]
    subprocess.run(
        command, cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    family = json.loads((find_released(name).folder / CONFIG_FILE).read_text())["model_family"]
    return f"models:/{get_family(family).model_name}/1"


def _warm_up(server: Server, crystals: Sequence[Crystal]) -> None:
    """Ask for all crystals twice. Raises ValueError where one has no answer."""
    with closing(server.connect()) as connection:
        for body in [*_bodies(crystals, len(crystals)), *_bodies(crystals, 1)]:
            reply = post(connection, PATHS[server.kind], body)
            if found := next(filter(None, _errors(reply)), ""):
                raise ValueError(f"The server does not answer: {found}")


def _errors(reply: Reply) -> list[str]:
    """The error of each row, empty for one with an answer; or that of the request."""
    if reply.status != 200:
        return [reply.content.decode()]
    return [row["error"] for row in json.loads(reply.content)["predictions"]]


def _measure(
    name: str, server: Server, crystals: Sequence[Crystal], size: int, clients: int, seconds: float
) -> Period:
    bodies = _bodies(crystals, size)
    start = time.perf_counter()
    replies = [reply for _, reply in keep_asking(server, bodies, clients=clients, seconds=seconds)]
    elapsed = time.perf_counter() - start
    answered = [sum(not error for error in _errors(reply)) for reply in replies]
    whole = [r.seconds for r, count in zip(replies, answered, strict=True) if count == size]
    total = sum(answered)
    return Period(name, size, clients, elapsed, whole, total, size * len(replies) - total)


def _bodies(crystals: Sequence[Crystal], size: int) -> list[bytes]:
    """Requests for all crystals, so many in each."""
    rows = [[crystal.id, crystal.cif] for crystal in crystals]
    tables = [
        {"columns": ["id", "cif"], "data": rows[i : i + size]} for i in range(0, len(rows), size)
    ]
    return [json.dumps({"dataframe_split": table}).encode() for table in tables]


def _against_figures(periods: Sequence[Period]) -> pd.DataFrame:
    """Milliseconds a crystal, the public figure's ratio to it, and whether the aim is met."""
    alone = {(p.model, p.size): p.milliseconds for p in periods if p.clients == 1}
    rows = []
    for name in dict.fromkeys(period.model for period in periods):
        single, many = (alone[name, size] for size in SIZES)
        public, aim = PUBLIC.get(name, np.nan), AIMS.get(name, np.nan)
        rows.append(
            {
                "model": name,
                "of 1 (ms)": _digits(single),
                f"of {SAMPLE} (ms)": _digits(many),
                "M1 (ms)": _digits(public),
                "ratio": _digits(public / single),
                "aim (ms)": _digits(aim),
                "met": "–" if np.isnan(aim) else "yes" if single <= aim else "no",
            }
        )
    return pd.DataFrame(rows)


def _digits(number: float) -> str:
    """A number with three digits, or all those before the point; a dash for NaN."""
    return "–" if np.isnan(number) else f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", choices=list(PATHS), default="app")
    parser.add_argument("--models", default=",".join(MODELS), help="released models")
    parser.add_argument("--seconds", type=float, default=10, help="duration of a period")
    parser.add_argument("--data", type=Path, default=ARCHIVE, help="3DSC: archive or folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
