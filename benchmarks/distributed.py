"""Speed of data-parallel training with one and two processes, for the same effective batch size.

    python -m benchmarks.distributed                 # a few minutes on 2 cores

Trains the vision and the graph family on `classics` with one and two processes of one thread each,
and with one process of two threads, which uses the same cores as two processes. The setups
alternate, and the time is the median over epochs. The validation MAE is equal up to rounding.
Dropout is off, because each process draws its own masks.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from statistics import median
from typing import Any

SETUPS = {  # name -> processes, threads per process
    "1 process": (1, 1),
    "2 processes": (2, 1),
    "1 process, 2 threads": (1, 2),
}
MODEL_FAMILIES = ("vision", "graph")


def main() -> None:
    """Train in every setup alternately and print the table."""
    options = _options()
    if options.train:
        train(options.train, options)
        return
    print("| family | setup | seconds per epoch | speedup over 1 process | validation MAE |")
    print("|---|---|---:|---:|---:|")
    for family in MODEL_FAMILIES:
        seconds: dict[str, list[float]] = defaultdict(list)
        errors: dict[str, float] = {}
        for _ in range(options.rounds):
            for setup, (processes, threads) in SETUPS.items():
                history = measure(family, processes, threads)
                seconds[setup] += [epoch["seconds"] for epoch in history[1:]]
                errors[setup] = history[-1]["val_mae"]
        reference = median(seconds["1 process"])
        for setup in SETUPS:
            taken = median(seconds[setup])
            print(
                f"| {family} | {setup} | {taken:.1f} | {reference / taken:.2f} "
                f"| {errors[setup]:.3f} K |",
                flush=True,
            )


def measure(family: str, processes: int, threads: int) -> list[dict[str, Any]]:
    """The history of a training run with this many processes and threads per process."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    train_here = ["-m", "benchmarks.distributed", "--train", family, *sys.argv[1:]]
    command = [sys.executable, *torchrun, *train_here]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def train(family: str, options: argparse.Namespace) -> None:
    """Train as one process of the group; the main process prints the history."""
    from torch import nn

    from supervision.data.crystals import group_materials
    from supervision.data.datasets import load_dataset
    from supervision.data.splits import make_split
    from supervision.models.graph.config import GraphConfig
    from supervision.models.graph.predictor import GraphPredictor
    from supervision.models.vision.config import VisionConfig
    from supervision.models.vision.predictor import VisionPredictor
    from supervision.models.weights import get_weights
    from supervision.training.config import FitConfig
    from supervision.training.distributed import join_process_group

    setattr(nn.Dropout, "forward", lambda self, x: x)  # noqa: B010
    materials = group_materials(load_dataset("classics").crystals)
    split = make_split(materials, "random", seed=42)
    with join_process_group() as group:
        predictor: VisionPredictor | GraphPredictor
        if family == "vision":
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
        if group.is_main:
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
