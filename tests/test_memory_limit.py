"""A process whose memory limit is too small for a batch continues with micro-batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TRAINING = """
import json, resource, sys
import psutil, torch
from torch import nn
import supervision.training.trainer
from contextlib import nullcontext
from supervision.training.config import FitConfig
from supervision.training.batches import LazySequence, shuffled
from supervision.training.callbacks import Callbacks
from supervision.training.trainer import Trainer

WIDTH, COUNT = 100_000, 128  # 400 kB per sample and layer
supervision.training.trainer.autocast = lambda device: nullcontext()
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(COUNT, 8)
y = x[:, 0]
model = nn.Sequential(nn.Linear(8, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1), nn.Flatten(0))

def epochs(number, shard):
    order = shuffled(COUNT, COUNT, seed=0, epoch=number)
    def step(index):
        parts = torch.tensor(order[index]).tensor_split(shard.accumulation_steps)
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
history = Trainer(
    model, epochs, validate, FitConfig(epochs=2, learning_rate=1e-4), device=torch.device("cpu"),
    callbacks=Callbacks(note=notes.append), quiet=True,
).train()
print(json.dumps({"history": [vars(record) for record in history], "notes": notes}))
"""


def train(limit):
    """Train with a memory limit of ``limit`` bytes above the usage at the start; 0 for no limit."""
    command = [sys.executable, "-c", TRAINING, str(limit)]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # each arena reserves 64 MiB
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_batch_that_does_not_fit_is_divided_and_trains_to_the_same_result():
    unlimited, limited = train(0), train(200 << 20)
    assert unlimited["notes"] == []
    assert 1 <= len(limited["notes"]) <= 4
    assert "an allocation failed" in limited["notes"][0]
    assert "can't allocate memory" in limited["notes"][0]
    assert limited["history"][-1]["accumulation_steps"] >= 2
    for one, other in zip(unlimited["history"], limited["history"], strict=True):
        assert other["val_mae"] == pytest.approx(one["val_mae"], rel=1e-3)
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)
