"""A real process that may not have the memory its batch asks for: it goes on in smaller parts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAINING = """
import json, resource, sys
import psutil, torch
from torch import nn
import supervision.training.trainer
from contextlib import nullcontext
from supervision.training.state import FitConfig
from supervision.training.batches import LazySequence, shuffled
from supervision.training.callbacks import Callbacks
from supervision.training.trainer import fit

WIDTH, COUNT = 100_000, 128  # 400 kB a sample and layer
supervision.training.trainer.autocast = lambda device: nullcontext()
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(COUNT, 8)
y = x[:, 0]
model = nn.Sequential(nn.Linear(8, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1), nn.Flatten(0))

def epochs(number, share):
    order = shuffled(COUNT, COUNT, seed=0, epoch=number)
    def step(place):
        parts = torch.tensor(order[place]).tensor_split(share.parts)
        return [(x[part], y[part], [""] * len(part)) for part in parts]
    return LazySequence(step, len(order))

def validate():
    with torch.no_grad():
        outputs = torch.cat([model(row) for row in x.split(4)])
    return {"mae": (outputs - y).abs().double().mean().item(), "rmse": 0.0, "r2": 0.0}

if int(sys.argv[1]):
    limit = psutil.Process().memory_info().vms + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
notes = []
history = fit(
    model, epochs, validate, FitConfig(epochs=2, learning_rate=1e-4), device=torch.device("cpu"),
    listener=Callbacks(note=notes.append), quiet=True,
)
print(json.dumps({"history": [vars(record) for record in history], "notes": notes}))
"""


def train(limit):
    """Train with so many bytes more than the process has as it begins (0: all there are)."""
    command = [sys.executable, "-c", TRAINING, str(limit)]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # each arena reserves 64 MiB
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is not held elsewhere")
def test_a_batch_that_does_not_fit_is_cut_and_learns_the_same():
    free, tight = train(0), train(200 << 20)
    assert free["notes"] == []
    assert 1 <= len(tight["notes"]) <= 4
    assert "an allocation failed" in tight["notes"][0]
    assert "can't allocate memory" in tight["notes"][0]
    assert tight["history"][-1]["parts"] >= 2
    for one, other in zip(free["history"], tight["history"], strict=True):
        assert other["val_mae"] == pytest.approx(one["val_mae"], rel=1e-3)
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)
