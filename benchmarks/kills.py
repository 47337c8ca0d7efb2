"""Training runs killed at random moments and restarted, compared with an uninterrupted run.

    python -m benchmarks.kills                       # a quarter of an hour on 2 cores

Each model family is trained by its own command on a few materials of `classics`, into folders. One
run per family is uninterrupted. Others are killed with SIGKILL after a random time, or as soon as a
partly written checkpoint exists, and restarted by the same command until there were enough kills;
then they finish. Their results must be equal bit for bit: the weights, every metric of every epoch,
and the predictions. The time from a SIGTERM to the exit of a run is measured too.
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
CLOCK_COLUMNS = ("seconds", "time")  # of the history; they differ from run to run


def main() -> None:
    """Kill runs, compare their results, print a row per family; exit 1 if any result differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=25, help="kills per family")
    parser.add_argument("--terms", type=int, default=5, help="SIGTERMs per family")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, total_differing = random.Random(options.seed), 0
    print(
        "| family | kills | of these during a checkpoint write | runs | runs that differ "
        "| seconds from SIGTERM to exit, maximum |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        for family, command in COMMANDS.items():
            folder = Path(temporary) / family
            began = time.monotonic()
            start(command, folder / "uninterrupted").wait()
            duration = time.monotonic() - began
            kills, in_write, runs, differing = measure(
                command, folder, options.kills, duration, rng
            )
            exit_seconds = [
                terminate(command, folder / f"terminated{turn}", duration * rng.random())
                for turn in range(options.terms)
            ]
            row = (family, kills, in_write, runs, differing, f"{max(exit_seconds, default=0):.1f}")
            print("|", " | ".join(map(str, row)), "|", flush=True)
            total_differing += differing
    sys.exit(1 if total_differing else 0)


def measure(
    command: list[str], folder: Path, wanted_kills: int, duration: float, rng: random.Random
) -> tuple[int, int, int, int]:
    """Numbers of kills, of kills during a checkpoint write, of runs, and of runs that differ.

    ``duration`` is the time in seconds of an uninterrupted run.
    """
    expected = results(folder / "uninterrupted")
    kills = in_write = runs = differing = 0
    while kills < wanted_kills:
        runs += 1
        run_folder, finished = folder / str(runs), False
        while not finished:
            process = start(command, run_folder)
            if kills < wanted_kills:
                wait(process, run_folder, rng.random() * duration, until_write=kills % 3 == 2)
                process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
            finished = (run_folder / "whole.json").is_file()
            kills += killed
            in_write += killed and bool(list(run_folder.rglob("*.part")))
        differing += results(run_folder) != expected
    return kills, in_write, runs, differing


def terminate(command: list[str], folder: Path, seconds: float) -> float:
    """Seconds from a SIGTERM, sent after ``seconds``, to the exit; 0 if the run had finished."""
    process = start(command, folder)
    wait(process, folder, seconds, until_write=False)
    began = time.monotonic()
    if process.poll() is not None:
        return 0.0
    process.terminate()
    process.wait()
    return time.monotonic() - began


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start or resume a run that writes into a folder."""
    arguments = [sys.executable, "-m", f"entrypoints.{command[0]}", *command[1:]]
    arguments += ["--parallel", "true", "--out", str(folder)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait(
    process: subprocess.Popen[bytes], folder: Path, seconds: float, *, until_write: bool
) -> None:
    """Wait this long, then until a checkpoint is partly written; stop if the process ends."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    while until_write and process.poll() is None and not list(folder.glob("checkpoints/*.part")):
        time.sleep(0.0005)


def results(folder: Path) -> tuple[bytes, list[dict[str, float]], str]:
    """The results of a run: weights, history without times, predictions."""
    lines = (folder / "history.jsonl").read_text().splitlines()
    history = [
        {name: value for name, value in json.loads(line).items() if name not in CLOCK_COLUMNS}
        for line in lines
    ]
    weights = (folder / "model" / "model.safetensors").read_bytes()
    return weights, history, (folder / "predictions.csv").read_text()


if __name__ == "__main__":
    main()
