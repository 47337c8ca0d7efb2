"""Training under a memory limit that is too small for the batch, with and without adaptation.

    sudo python -m benchmarks.memory                 # 5 minutes on 2 cores; Linux with cgroups
    sudo python -m benchmarks.memory --limit 1.6 --squeeze 0.3

Trains the vision family with LoRA at batch size 32 on `classics` four times from the same seed:
with all memory of the machine; under the limit, without adaptation to the available memory; under
the limit; and under a higher limit (--wide), while another process allocates more and more memory
from the end of the first epoch on. The limit is a memory cgroup without swap, as that of a
container: a process that exceeds it is killed.

Dropout is off, because its masks are drawn per micro-batch: with --dropout, cutting a step changes
the result as another seed would.
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
NO_LIMIT, NO_ADAPTATION, LIMIT, SHRINKING = SETUPS = (
    "no limit", "limit, no adaptation", "limit", "shrinking memory",
)  # fmt: skip
GIB = 2**30
BLOCK_BITS = 24  # the other process allocates blocks of 2**24 bytes, 16 MiB
ALLOCATE = f"""
import sys, time
blocks = []
for _ in range(int(sys.argv[1])):
    blocks.append(b"x" * (1 << {BLOCK_BITS}))
    time.sleep(0.4)
time.sleep(3600)
"""


@dataclass(frozen=True)
class Output:
    """The exit status of a run and the lines that it printed."""

    setup: str
    status: int
    lines: list[str]

    def values(self, key: str) -> list[str]:
        """The rest of each line that begins with ``key``."""
        return [line.removeprefix(key).strip() for line in self.lines if line.startswith(key)]


def main() -> None:
    """Train in every setup; print the table and the notes of the runs."""
    options = _options()
    if options.train:
        train(options.train, options)
        return
    outputs = [measure(setup, options) for setup in SETUPS]
    print(
        "\n| | exit | micro-batches per step | seconds per epoch, first and last | validation MAE |"
    )
    print("|---|---|---|---|---|")
    for output in outputs:
        status = "killed" if output.status == -signal.SIGKILL else f"exit {output.status}"
        epochs = [line.split() for line in output.values("epoch")]
        steps = " to ".join(dict.fromkeys(words[2] for words in epochs)) or "1"
        seconds = f"{epochs[0][0]}, {epochs[-1][0]}" if epochs else "none"
        mae = f"{min(float(words[1]) for words in epochs):.3f} K" if epochs else "none"
        print(f"| {output.setup} | {status} | {steps} | {seconds} | {mae} |")
    for output in outputs:
        for note in output.values("note"):
            print(f"\n{output.setup}: {note}")


def measure(setup: str, options: argparse.Namespace) -> Output:
    """Train in a separate process, in a memory cgroup if the setup has a limit."""
    limit = {NO_LIMIT: 0.0, SHRINKING: options.wide}.get(setup, options.limit)
    command = [sys.executable, "-m", "benchmarks.memory", "--train", setup, *sys.argv[1:]]
    with _memory_cgroup(limit) as join:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=join)
        other, lines = None, []
        assert process.stdout is not None
        for line in process.stdout:
            print(f"[{setup}] {line}", end="", flush=True)
            lines.append(line.strip())
            if setup == SHRINKING and line.startswith("epoch") and not other:
                blocks = str(int(options.squeeze * GIB) >> BLOCK_BITS)
                other = subprocess.Popen([sys.executable, "-c", ALLOCATE, blocks], preexec_fn=join)
        status = process.wait()
        if other:
            other.kill()
            other.wait()
    return Output(setup, status, lines)


def train(setup: str, options: argparse.Namespace) -> None:
    """Train and print lines ``epoch SECONDS MAE ACCUMULATION_STEPS`` and ``note ...``."""
    from torch import nn

    from supervision.data.crystals import group_materials
    from supervision.data.datasets import load_dataset
    from supervision.data.splits import make_split
    from supervision.models.vision.config import VisionConfig
    from supervision.models.vision.predictor import VisionPredictor
    from supervision.models.weights import get_weights
    from supervision.runtime.memory import StepMemoryMonitor
    from supervision.training.callbacks import Callbacks, EpochRecord
    from supervision.training.config import FitConfig
    from supervision.training.memory_estimate import MemoryEstimate

    if setup == NO_ADAPTATION:
        setattr(MemoryEstimate, "accumulation_steps", lambda self, found: 1)  # noqa: B010
        setattr(StepMemoryMonitor, "_shortage", lambda self: "")  # noqa: B010
    materials = group_materials(load_dataset("classics").crystals)
    split = make_split(materials, "random", seed=42)

    def on_epoch(record: EpochRecord) -> None:
        if record.epoch:
            values = f"{record.seconds:.1f}", record.val_mae, record.accumulation_steps
            print("epoch", *values, flush=True)

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
        callbacks=Callbacks(on_epoch, lambda text: print("note", text, flush=True)),
    )


@contextmanager
def _memory_cgroup(gigabytes: float) -> Iterator[Callable[[], None]]:
    """A function with which a new process joins a memory cgroup of this size (0: no cgroup)."""
    if not gigabytes:
        yield lambda: None
        return
    is_version_1 = (CGROUPS / "memory").is_dir()
    folder = CGROUPS / ("memory" if is_version_1 else ".") / f"supervision-{os.getpid()}"
    folder.mkdir()
    name = "memory.limit_in_bytes" if is_version_1 else "memory.max"
    (folder / name).write_text(str(int(gigabytes * GIB)))
    swap = folder / ("memory.memsw.limit_in_bytes" if is_version_1 else "memory.swap.max")
    if swap.exists():
        swap.write_text(str(int(gigabytes * GIB)) if is_version_1 else "0")
    try:
        yield partial(_join, folder)
    finally:
        time.sleep(1)  # until the last process has left the cgroup
        folder.rmdir()


def _join(folder: Path) -> None:
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=1.5, help="GiB of the cgroup")
    parser.add_argument(
        "--wide", type=float, default=2.6, help="GiB of the cgroup that another process shares"
    )
    parser.add_argument(
        "--squeeze", type=float, default=1.2, help="GiB that the other process allocates"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dropout", action="store_true")
    parser.add_argument("--weights", default="dinov2_vits14_imgfocus")
    parser.add_argument("--train", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
