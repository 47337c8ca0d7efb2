"""Trainings killed at random moments and started again, against one that was left alone.

    python -m benchmarks.kills                       # a quarter of an hour on 2 cores

Both paths by their own commands on a few of the `classics`, into folders. One training a path is
left alone; others are killed with SIGKILL after a random time each, or as soon as a half-written
checkpoint lies there, and started again by the same command until they have been killed often
enough, and then to their end. What they leave must be the same to the bit: the weights, every
metric of every epoch, the predictions.
"""

import argparse
import json
import os
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
    parser.add_argument("--runs", type=int, default=3, help="trainings that are killed, a path")
    parser.add_argument("--kills", type=int, default=10, help="how often each is killed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, wrong = random.Random(options.seed), 0
    print("| path | runs | kills | of them within a checkpoint's writing | runs that differed |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as room:
        for path, command in COMMANDS.items():
            alone = Path(room) / path
            began = time.monotonic()
            start(command, alone).wait()
            whole, kills, torn, differed = time.monotonic() - began, 0, 0, 0
            for turn in range(options.runs):
                folder = Path(room) / f"{path}-{turn}"
                for attempt in range(options.kills):
                    in_a_write = attempt % 3 == 2
                    if not kill(
                        start(command, folder), folder, in_a_write, whole * chance.random()
                    ):
                        break
                    kills, torn = kills + 1, torn + bool(list(folder.rglob("*.part")))
                start(command, folder).wait()
                differed += left(folder) != left(alone)
            wrong += differed
            print(f"| {path} | {options.runs} | {kills} | {torn} | {differed} |", flush=True)
    sys.exit(1 if wrong else 0)


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Train into a folder."""
    words = [sys.executable, "-m", f"entrypoints.{command[0]}", *command[1:]]
    quiet = subprocess.DEVNULL
    words += ["--parallel", "true", "--out", str(folder)]
    return subprocess.Popen(words, stdout=quiet, stderr=quiet)


def kill(process: subprocess.Popen[bytes], folder: Path, in_a_write: bool, seconds: float) -> bool:
    """Kill it after so long, or in a write that it is at then; False where it has ended before."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    while in_a_write and process.poll() is None and not list(folder.glob("checkpoints/*.part")):
        pass
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


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
