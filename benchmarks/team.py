"""What a second process brings: epochs by one and by two processes, on the same effective batch.

    python -m benchmarks.team                        # some minutes on 2 cores

Both paths on `classics`, training and validation, one thread a process; and one process with two
threads, which has the same cores as two processes. The sides take turns; the median of the epochs
counts. Beside it the validation MAE: the team learns the same. Dropout is off, as each process of a
team draws its own.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from statistics import median
from typing import Any

SIDES = {"1 process": (1, 1), "2 processes": (2, 1), "1 process, 2 threads": (1, 2)}
PATHS = ("vision", "graph")


def main() -> None:
    """Train on every side by turns and print the table."""
    options = _options()
    if options.train:
        train(options.train, options)
        return
    print("| path | side | seconds an epoch | against 1 process | validation MAE |")
    print("|---|---|---:|---:|---:|")
    for path in PATHS:
        seconds: dict[str, list[float]] = defaultdict(list)
        errors: dict[str, float] = {}
        for _ in range(options.rounds):
            for side, (processes, threads) in SIDES.items():
                told = measure(path, processes, threads)
                seconds[side] += [epoch["seconds"] for epoch in told[1:]]
                errors[side] = told[-1]["val_mae"]
        alone = median(seconds["1 process"])
        for side in SIDES:
            spent = median(seconds[side])
            print(
                f"| {path} | {side} | {spent:.1f} | {alone / spent:.2f} | {errors[side]:.3f} K |",
                flush=True,
            )


def measure(path: str, processes: int, threads: int) -> list[dict[str, Any]]:
    """The history of a training by so many processes, each with so many threads."""
    together = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *together, "-m", "benchmarks.team", "--train", path, *sys.argv[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def train(path: str, options: argparse.Namespace) -> None:
    """Train as one of the team; the first prints the history."""
    from torch import nn

    from supervision.data.crystals import group_materials
    from supervision.data.datasets import load_dataset
    from supervision.data.splits import make_split
    from supervision.models.graph.config import GraphConfig
    from supervision.models.graph.predictor import GraphPredictor
    from supervision.models.vision.config import VisionConfig
    from supervision.models.vision.predictor import VisionPredictor
    from supervision.models.weights import get_weights
    from supervision.training.distributed import join_process_group
    from supervision.training.state import FitConfig

    setattr(nn.Dropout, "forward", lambda self, x: x)  # noqa: B010
    materials = group_materials(load_dataset("classics").crystals)
    split = make_split(materials, "random", seed=42)
    with join_process_group() as team:
        predictor: VisionPredictor | GraphPredictor
        if path == "vision":
            predictor = VisionPredictor(
                VisionConfig(batch_size=8, views=1, lora_dropout=0.0),
                get_weights(options.vision),
                FitConfig(epochs=options.epochs),
                quiet=True,
            )
        else:
            predictor = GraphPredictor(
                GraphConfig(batch_size=32),
                get_weights(options.graph, "graph"),
                FitConfig(epochs=options.epochs, learning_rate=1e-5, head_rate=1e-3),
                quiet=True,
            )
        history = predictor.fit(split.select(materials, "train"), split.select(materials, "val"))
        if team.is_main:
            print(json.dumps([vars(record) for record in history]), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--vision", default="dinov2_vits14_imgfocus")
    parser.add_argument("--graph", default="alignn_ff")
    parser.add_argument("--train", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
