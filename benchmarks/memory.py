"""A training under a limit of memory that its batch does not fit into, with and without the guard.

    sudo python -m benchmarks.memory                 # 5 minutes on 2 cores; Linux with cgroups
    sudo python -m benchmarks.memory --limit 1.6 --squeeze 0.3

The vision path, LoRA at batch 32 on `classics`, four times from the same seed: with all the
machine's memory; under the limit with the guard off; under the limit with the guard; and with the
guard under a wider limit (--wide), where a neighbour takes more and more of it once the first epoch
is done. The limit is a memory cgroup, as a container's is, without swap: what passes it is killed.

Dropout is off, as its masks are drawn part by part: with --dropout a step that is cut differs from
a whole one as one seed does from another.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
SIDES = ("no limit", "limit, guard off", "limit, guard", "squeezed, guard")
GIB = 2**30
NEIGHBOUR = """
import sys, time
held = []
for _ in range(int(sys.argv[1])):
    held.append(b"x" * (16 << 20))
    time.sleep(0.4)
time.sleep(3600)
"""


@dataclass(frozen=True)
class Told:
    """What a training said on its way."""

    side: str
    status: int
    lines: list[str]

    def values(self, key: str) -> list[str]:
        """What follows ``key`` in each line that begins with it."""
        return [line.removeprefix(key).strip() for line in self.lines if line.startswith(key)]


def main() -> None:
    """Train on every side, print the table and what was noted."""
    options = _options()
    if options.train:
        train(options.train, options)
        return
    found = [measure(side, options) for side in SIDES]
    print("\n| | ended | batch in parts | seconds an epoch, first and last | validation MAE |")
    print("|---|---|---|---|---|")
    for told in found:
        ended = "killed" if told.status == -signal.SIGKILL else f"exit {told.status}"
        epochs = [line.split() for line in told.values("epoch")]
        parts = " to ".join(dict.fromkeys(words[2] for words in epochs)) or "1"
        seconds = f"{epochs[0][0]}, {epochs[-1][0]}" if epochs else "none"
        mae = f"{min(float(words[1]) for words in epochs):.3f} K" if epochs else "none"
        print(f"| {told.side} | {ended} | {parts} | {seconds} | {mae} |")
    for told in found:
        for note in told.values("note"):
            print(f"\n{told.side}: {note}")


def measure(side: str, options: argparse.Namespace) -> Told:
    """Train in a process of its own, in a memory cgroup where the side has a limit."""
    limit = {"no limit": 0.0, "squeezed, guard": options.wide}.get(side, options.limit)
    command = [sys.executable, "-m", "benchmarks.memory", "--train", side, *sys.argv[1:]]
    with _memory_cgroup(limit) as join:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=join)
        neighbour, lines = None, []
        assert process.stdout is not None
        for line in process.stdout:
            print(f"[{side}] {line}", end="", flush=True)
            lines.append(line.strip())
            if side.startswith("squeezed") and line.startswith("epoch") and not neighbour:
                taken = str(int(options.squeeze * GIB) >> 24)
                taking = [sys.executable, "-c", NEIGHBOUR, taken]
                neighbour = subprocess.Popen(taking, preexec_fn=join)
        status = process.wait()
        if neighbour:
            neighbour.kill()
            neighbour.wait()
    return Told(side, status, lines)


def train(side: str, options: argparse.Namespace) -> None:
    """Train, and say what happens line by line: ``epoch SECONDS MAE PARTS``, ``note ...``."""
    from torch import nn

    from supervision.data.crystals import group_materials
    from supervision.data.datasets import load_dataset
    from supervision.data.splits import make_split
    from supervision.models.vision.config import VisionConfig
    from supervision.models.vision.predictor import VisionPredictor
    from supervision.models.weights import get_weights
    from supervision.runtime.memory import StepMemoryMonitor
    from supervision.training.callbacks import Callbacks, EpochRecord
    from supervision.training.memory_estimate import MemoryEstimate
    from supervision.training.state import FitConfig

    if side.endswith("guard off"):
        setattr(MemoryEstimate, "parts", lambda self, found: 1)  # noqa: B010
        setattr(StepMemoryMonitor, "_scarce", lambda self: "")  # noqa: B010
    materials = group_materials(load_dataset("classics").crystals)
    split = make_split(materials, "random", seed=42)

    def on_epoch(record: EpochRecord) -> None:
        if record.epoch:
            print("epoch", f"{record.seconds:.1f}", record.val_mae, record.parts, flush=True)

    dropout = VisionConfig.lora_dropout if options.dropout else 0.0
    if not options.dropout:
        setattr(nn.Dropout, "forward", lambda self, x: x)  # noqa: B010
    predictor = VisionPredictor(
        VisionConfig(batch_size=options.batch, views=2, lora_dropout=dropout, lora_blocks=0),
        get_weights(options.weights),
        FitConfig(epochs=options.epochs, learning_rate=3e-4),
        quiet=True,
    )
    predictor.fit(
        split.select(materials, "train"),
        split.select(materials, "val"),
        listener=Callbacks(on_epoch, lambda text: print("note", text, flush=True)),
    )


@contextmanager
def _memory_cgroup(gigabytes: float) -> Iterator[Callable[[], None]]:
    """What a new process calls to join a memory cgroup of this size (0: it joins none)."""
    if not gigabytes:
        yield lambda: None
        return
    first = (CGROUPS / "memory").is_dir()
    folder = CGROUPS / ("memory" if first else ".") / f"supervision-{os.getpid()}"
    folder.mkdir()
    name = "memory.limit_in_bytes" if first else "memory.max"
    (folder / name).write_text(str(int(gigabytes * GIB)))
    swap = folder / ("memory.memsw.limit_in_bytes" if first else "memory.swap.max")
    if swap.exists():
        swap.write_text(str(int(gigabytes * GIB)) if first else "0")
    try:
        yield partial(_join, folder)
    finally:
        time.sleep(1)  # the last process is leaving
        folder.rmdir()


def _join(folder: Path) -> None:
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=1.5, help="GiB of the container")
    parser.add_argument("--wide", type=float, default=2.6, help="GiB where a neighbour comes")
    parser.add_argument("--squeeze", type=float, default=1.2, help="GiB that the neighbour takes")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dropout", action="store_true")
    parser.add_argument("--weights", default="dinov2_vits14_imgfocus")
    parser.add_argument("--train", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
