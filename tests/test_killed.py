"""A real training process, killed with SIGKILL wherever it happens to be, and resumed."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from supervision.training.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
TRAINING = """
import json, sys, time
from pathlib import Path
import torch
from torch import nn
from supervision.training.checkpoint import Checkpoints
from supervision.training.state import FitConfig
from supervision.training.batches import LazySequence, shuffled
from supervision.training.trainer import fit

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(60, 64, generator=torch.Generator().manual_seed(1))
y = x[:, 0] - 2 * x[:, 1]
model = nn.Sequential(
    nn.Linear(64, 1200), nn.Tanh(), nn.Dropout(0.2), nn.Linear(1200, 1200), nn.BatchNorm1d(1200),
    nn.Linear(1200, 1), nn.Flatten(0),
)

def epoch(number, _share):
    order = shuffled(60, 10, seed=1, epoch=number)

    def step(place):
        time.sleep(0.04)
        return [(x[order[place]], y[order[place]], [])]

    return LazySequence(step, len(order))

def validate():
    with torch.no_grad():
        mae = (model(x) - y).abs().double().mean().item()
    return {"mae": mae, "rmse": 0.0, "r2": 0.0}

checkpoints = Checkpoints(
    folder, {"run": "same"}, every=4, resume=(folder / "last.pt").exists()
    or (folder / "previous.pt").exists()
)
print("begun", flush=True)
history = fit(
    model, epoch, validate, FitConfig(epochs=8, learning_rate=0.01),
    device=torch.device("cpu"), checkpoints=checkpoints, quiet=True,
)
torch.save(model.state_dict(), out)
print(json.dumps([vars(record) | {"seconds": 0} for record in history]))
"""


def start(folder, out):
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(folder), str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(folder, out):
    said, wrong = start(folder, out).communicate(timeout=120)
    assert out.is_file(), wrong
    return torch.load(out, weights_only=True), json.loads(said.splitlines()[-1])


def kill(process, folder, in_a_write, delay):
    """Kill it some time after it has begun, or as soon as a half-written file lies there."""
    assert process.stdout.readline() == "begun\n"
    if in_a_write:
        while not list(folder.glob("*.part")) and process.poll() is None:
            time.sleep(0.0005)
    else:
        time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_killed_a_dozen_times_it_ends_as_if_it_had_never_been(tmp_path):
    whole, history = finish(tmp_path / "whole", tmp_path / "whole.pt")
    chance, kills, torn = random.Random(4), 0, 0
    folder = tmp_path / "killed"
    for turn in range(12):
        in_a_write = turn % 3 == 0
        delay = 0.3 * chance.random()
        killed = kill(start(folder, tmp_path / "killed.pt"), folder, in_a_write, delay)
        kills += killed
        torn += len(list(folder.glob("*.part")))
    again, its_history = finish(folder, tmp_path / "killed.pt")
    assert kills >= 10
    assert torn >= 3  # and each is swept up by the next process
    assert not list(folder.glob("*.part"))
    assert its_history == history
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    for name in ("last.pt", "best.pt"):
        load_checkpoint(folder / name, identity={"run": "same"})
