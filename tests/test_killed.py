"""A training process is killed with SIGKILL at random times and resumed."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from supervision.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TRAINING = """
import json, sys, time
from pathlib import Path
import torch
from torch import nn
from supervision.training.checkpoint import Checkpoints
from supervision.training.config import FitConfig
from supervision.training.batches import LazySequence, shuffled
from supervision.training.trainer import Trainer

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(60, 64, generator=torch.Generator().manual_seed(1))
y = x[:, 0] - 2 * x[:, 1]
model = nn.Sequential(
    nn.Linear(64, 1200), nn.Tanh(), nn.Dropout(0.2), nn.Linear(1200, 1200), nn.BatchNorm1d(1200),
    nn.Linear(1200, 1), nn.Flatten(0),
)

def epoch(number, _shard):
    order = shuffled(60, 10, seed=1, epoch=number)

    def step(index):
        time.sleep(0.04)
        return [(x[order[index]], y[order[index]], [])]

    return LazySequence(step, len(order))

def validate():
    with torch.no_grad():
        mae = (model(x) - y).abs().double().mean().item()
    return {"mae": mae, "rmse": 0.0, "r2": 0.0}

checkpoints = Checkpoints(
    folder, {"run": "same"}, save_every=4, resume=(folder / "last.pt").exists()
    or (folder / "previous.pt").exists()
)
print("started", flush=True)
history = Trainer(
    model, epoch, validate, FitConfig(epochs=8, learning_rate=0.01),
    device=torch.device("cpu"), checkpoints=checkpoints, quiet=True,
).train()
torch.save(model.state_dict(), out)
print(json.dumps([vars(record) | {"seconds": 0} for record in history]))
"""


def start(folder, out):
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(folder), str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(folder, out):
    printed, errors = start(folder, out).communicate(timeout=120)
    assert out.is_file(), errors
    return torch.load(out, weights_only=True), json.loads(printed.splitlines()[-1])


def kill(process, folder, during_write, delay):
    """Kill a process ``delay`` seconds after its start, or while it writes a checkpoint."""
    assert process.stdout.readline() == "started\n"
    if during_write:
        while not list(folder.glob("*.part")) and process.poll() is None:
            time.sleep(0.0005)
    else:
        time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("turns", [4, pytest.param(12, marks=pytest.mark.long)])
def test_a_run_killed_many_times_gives_the_result_of_an_uninterrupted_run(tmp_path, turns):
    expected, history = finish(tmp_path / "uninterrupted", tmp_path / "uninterrupted.pt")
    generator, kills, partial_files = random.Random(4), 0, 0
    folder = tmp_path / "killed"
    for turn in range(turns):
        during_write = turn % 3 == 0
        delay = 0.3 * generator.random()
        killed = kill(start(folder, tmp_path / "killed.pt"), folder, during_write, delay)
        kills += killed
        partial_files += len(list(folder.glob("*.part")))
    state, resumed_history = finish(folder, tmp_path / "killed.pt")
    assert kills >= turns - 2
    assert partial_files >= turns // 4  # the next process deletes each partial file
    assert not list(folder.glob("*.part"))
    assert resumed_history == history
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    for name in ("last.pt", "best.pt"):
        load_checkpoint(folder / name, identity={"run": "same"})
