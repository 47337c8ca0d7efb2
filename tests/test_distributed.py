"""Training by several processes with torchrun, compared with training by one process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from supervision.experiment.run import require_equal_ranks
from supervision.training.distributed import ProcessGroup

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TRAINING = """
import contextlib, json, os, sys, time
from pathlib import Path
import torch
from torch import nn
import supervision.training.trainer
from supervision.training.checkpoint import Checkpoints, is_unfinished
from supervision.training.config import FitConfig
from supervision.training.batches import LazySequence, shuffled
from supervision.training.distributed import join_process_group
from supervision.training.callbacks import Callbacks
from supervision.training.trainer import Trainer

supervision.training.trainer.autocast = lambda device: contextlib.nullcontext()
folder, out, pause, max_samples = Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:])
torch.set_num_threads(1)
x = torch.randn(41, 64, generator=torch.Generator().manual_seed(1))
y = x[:, 0] - 2 * x[:, 1]

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 50), nn.Tanh(), nn.Linear(50, 1), nn.Flatten(0))
        self.unused = nn.Linear(3, 3)  # gets no gradient, so weight decay must not change it

    def forward(self, x):
        if self.training and len(x) > max_samples:
            raise MemoryError("fabricated")
        return self.layers(x)

def epochs(number, shard):
    order = shuffled(41, 10, seed=1, epoch=number)  # the last step has one sample
    def step(index):
        time.sleep(pause)
        rows = torch.tensor(shard.rows(order[index]), dtype=torch.long)
        parts = rows.tensor_split(min(shard.accumulation_steps, len(rows))) if len(rows) else ()
        return [(x[part], y[part], [str(i) for i in part.tolist()]) for part in parts]
    return LazySequence(step, len(order))

with join_process_group() as group:
    torch.manual_seed(group.rank)
    model = Net()  # initialised differently in each process, as LoRA's matrices are
    checkpoints = None
    if group.is_main:
        torch.manual_seed(0)
        resume = is_unfinished(folder)
        checkpoints = Checkpoints(
            folder, {"processes": str(group.size)}, save_every=2, resume=resume
        )

    def validate():
        rows = range(group.rank, 41, group.size)
        with torch.no_grad():
            outputs = torch.cat(group.all_gather([model(x[i : i + 1]) for i in rows]))
        return {"mae": (outputs - y).abs().double().mean().item(), "rmse": 0.0, "r2": 0.0}

    notes = []
    history = Trainer(
        model, epochs, validate, FitConfig(epochs=5, learning_rate=0.01), group=group,
        device=torch.device("cpu"), checkpoints=checkpoints, callbacks=Callbacks(note=notes.append),
        quiet=True,
    ).train()
    report = {"history": [vars(r) for r in history], "notes": notes, "size": group.size}
    name = str(group.rank)
    torch.save(model.state_dict(), out / f"{name}.pt")
    (out / f"{name}.json").write_text(json.dumps(report))
"""


def start(folder, processes, pause=0.0, max_samples=99):
    folder.mkdir(exist_ok=True)
    (folder / "training.py").write_text(TRAINING)
    launch = [sys.executable]
    if processes > 1:
        launch += [
            "-m",
            "entrypoints.launch_torchrun",
            "--standalone",
            f"--nproc-per-node={processes}",
        ]
    arguments = [folder / "checkpoints", folder, pause, max_samples]
    return subprocess.Popen(
        [*launch, str(folder / "training.py"), *map(str, arguments)],
        cwd=ROOT, env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def train(folder, processes, **options):
    """Train to the end; returns the weights and the report of each process."""
    process = start(folder, processes, **options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]
    ranks = range(processes)
    weights = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in ranks]
    return weights, [json.loads((folder / f"{rank}.json").read_text()) for rank in ranks]


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    (weights,), (report,) = train(tmp_path_factory.mktemp("single"), 1)
    return weights, report


def check_equal(report, other):
    assert len(report["history"]) == len(other["history"])
    for one, two in zip(report["history"], other["history"], strict=True):
        for name in ("train_loss", "val_mae", "learning_rate"):
            assert one[name] == pytest.approx(two[name], rel=1e-4)
        assert one["best"] == two["best"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return train(tmp_path_factory.mktemp("pair"), 2)


def test_two_processes_train_the_same_model_as_one(single, pair):
    """With the same effective batch size. Shards differ in size and may be empty."""
    weights, reports = pair
    assert [report["size"] for report in reports] == [2, 2]
    check_equal(reports[0], single[1])
    for state in weights:
        assert all(torch.equal(state[name], weights[0][name]) for name in state)
        for name in state:
            torch.testing.assert_close(state[name], single[0][name], rtol=1e-3, atol=1e-5)


def test_all_processes_cut_their_steps_when_one_runs_out_of_memory(single, tmp_path):
    _, reports = train(tmp_path, 2, max_samples=3)
    assert ["cut into 2 parts" in note for note in reports[0]["notes"]] == [True]
    check_equal(reports[0], single[1])


def test_killed_processes_resume_to_the_result_of_an_uninterrupted_run(pair, tmp_path):
    (weights, reports), folder = pair, tmp_path
    process = start(folder, 2, pause=0.1)
    while not (folder / "checkpoints" / "previous.pt").exists():
        time.sleep(0.02)
        assert process.poll() is None
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    assert re.search(r"Process [12] of this training was killed \(signal 9\)", errors)
    assert not (folder / "0.pt").exists()
    resumed, resumed_reports = train(folder, 2)
    check_equal(reports[0], resumed_reports[0])
    assert all(torch.equal(resumed[1][name], weights[0][name]) for name in weights[0])


def test_processes_with_different_settings_are_refused(monkeypatch):
    monkeypatch.setattr(
        ProcessGroup, "all_gather", lambda self, own: [{"seed": "42", "split hash": "a"}, *own]
    )
    require_equal_ranks({"seed": "42", "split hash": "a"})
    with pytest.raises(ValueError, match="split hash is a in process 0, b in process"):
        require_equal_ranks({"seed": "42", "split hash": "b"})
