"""Trainings killed at random moments and started again, against one that was left alone.

    python -m benchmarks.kills                       # a quarter of an hour on 2 cores

Both paths by their own commands on a few of the `classics`, into folders. One training a path is
left alone; others are killed with SIGKILL after a random time each, or as soon as a half-written
checkpoint lies there, and started again by the same command until they have been killed often
enough, and then to their end. What they leave must be the same to the bit: the weights, every
metric of every epoch, the predictions. Besides, how long it takes until one that gets a SIGTERM
has ended.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "graph": ["train_alignn", "--limit", "24", "--epochs", "8", "--weights", "none"],
    "vision": ["train_dino", "--limit", "16", "--epochs", "3", "--weights", "none", "--views", "2"],
}
TIMES = ("seconds", "time")


def main() -> None:
    """Kill, compare, print a row a path; exit 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=25, help="a path")
    parser.add_argument("--terms", type=int, default=5, help="SIGTERMs a path")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, wrong = random.Random(options.seed), 0
    print(
        "| path | kills | of them in the writing of a checkpoint | runs | that differed "
        "| seconds from SIGTERM to the end, at most |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as room:
        for path, command in COMMANDS.items():
            rooms = Path(room) / path
            began = time.monotonic()
            start(command, rooms / "alone").wait()
            whole = time.monotonic() - began
            kills, torn, runs, differed = measure(command, rooms, options.kills, whole, chance)
            taken = [
                terminate(command, rooms / f"term{turn}", whole * chance.random())
                for turn in range(options.terms)
            ]
            row = (path, kills, torn, runs, differed, f"{max(taken, default=0):.1f}")
            print("|", " | ".join(map(str, row)), "|", flush=True)
            wrong += differed
    sys.exit(1 if wrong else 0)


def measure(
    command: list[str], room: Path, wanted: int, whole: float, chance: random.Random
) -> tuple[int, int, int, int]:
    """Kills, those in a write, the runs that they fell on, and how many of those differ.

    ``whole`` is how many seconds a run takes that is left alone.
    """
    expected = left(room / "alone")
    kills = torn = runs = differed = 0
    while kills < wanted:
        runs += 1
        folder, ended = room / str(runs), False
        while not ended:
            process = start(command, folder)
            if kills < wanted:
                wait(process, folder, chance.random() * whole, in_a_write=kills % 3 == 2)
                process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
            ended = (folder / "whole.json").is_file()
            kills += killed
            torn += killed and bool(list(folder.rglob("*.part")))
        differed += left(folder) != expected
    return kills, torn, runs, differed


def terminate(command: list[str], folder: Path, seconds: float) -> float:
    """Seconds from a SIGTERM after so long to the end of the process; 0 where it had ended."""
    process = start(command, folder)
    wait(process, folder, seconds, in_a_write=False)
    began = time.monotonic()
    if process.poll() is not None:
        return 0.0
    process.terminate()
    process.wait()
    return time.monotonic() - began


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Train into a folder."""
    words = [sys.executable, "-m", f"entrypoints.{command[0]}", *command[1:]]
    quiet = subprocess.DEVNULL
    words += ["--parallel", "true", "--out", str(folder)]
    return subprocess.Popen(words, stdout=quiet, stderr=quiet)


def wait(
    process: subprocess.Popen[bytes], folder: Path, seconds: float, *, in_a_write: bool
) -> None:
    """Wait so long, or on until a checkpoint is half written; not after the process has ended."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    while in_a_write and process.poll() is None and not list(folder.glob("checkpoints/*.part")):
        time.sleep(0.0005)


def left(folder: Path) -> tuple[bytes, list[dict[str, float]], str]:
    """What a training left: weights, history without the clock, predictions."""
    lines = (folder / "history.jsonl").read_text().splitlines()
    history = [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in lines
    ]
    weights = (folder / "model" / "model.safetensors").read_bytes()
    return weights, history, (folder / "predictions.csv").read_text()


if __name__ == "__main__":
    main()
