"""The trainer, its checkpoints and exact resume, on small models."""

import math
import pickle
import random
import zipfile
from contextlib import nullcontext
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from supervision.runtime.memory import StepMemoryMonitor
from supervision.training.batches import LazySequence, RankShard, shuffled
from supervision.training.callbacks import Callbacks, EpochRecord
from supervision.training.checkpoint import (
    CheckpointError,
    Checkpoints,
    is_unfinished,
    load_checkpoint,
    save_checkpoint,
)
from supervision.training.config import FitConfig
from supervision.training.state import cosine_with_warmup, load_trainable, trainable_state
from supervision.training.trainer import Trainer, progress_line

CPU = torch.device("cpu")
COUNT, BATCH = 50, 8
STEPS = -(-COUNT // BATCH)
TRUTH = torch.tensor([1.0, -2.0, 0.5])
X = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(0))
Y = X @ TRUTH + 0.3


class Net(nn.Module):
    """A frozen layer, batch norm, dropout and a head: ``[b, 3]`` -> ``[b]``."""

    def __init__(self, seed=0, dropout=0.2):
        super().__init__()
        torch.manual_seed(seed)
        self.frozen = nn.Linear(3, 16).requires_grad_(False)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.dropout(torch.tanh(self.norm(self.frozen(x))))).squeeze(-1)


SINGLE_RANK = RankShard()


def batches(epoch, shard=SINGLE_RANK, on_step=lambda index: None):
    """The steps of an epoch; ``on_step`` is called with the index of each before it is made."""
    order = shuffled(COUNT, BATCH, seed=3, epoch=epoch)

    def step(index):
        on_step(index)
        rows = shard.rows(order[index])
        return [
            (X[part], Y[part], [str(int(i)) for i in part])
            for part in torch.tensor(rows).tensor_split(min(shard.accumulation_steps, len(rows)))
        ]

    return LazySequence(step, len(order))


def evaluator(model):
    """A validate() that evaluates the model on all samples."""

    def validate():
        with torch.no_grad():
            error = (model(X) - Y).double()
        mae, mse = error.abs().mean().item(), (error**2).mean().item()
        return {"mae": mae, "rmse": mse**0.5, "r2": 1 - mse / Y.var().item()}

    return validate


def given_maes(maes):
    """A validate() that returns these MAEs, epoch by epoch."""
    answers = iter(maes)
    return lambda: {"mae": next(answers), "rmse": 0.0, "r2": 0.0}


def run(model, config, validate=None, **options):
    return Trainer(
        model,
        options.pop("batches", batches),
        validate or evaluator(model),
        config,
        device=CPU,
        quiet=True,
        **options,
    ).train()


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def without_times(history):
    """A history as dicts, without times."""
    return [asdict(replace(record, seconds=0.0)) for record in history]


def weights(checkpoint):
    """The tensors of the model in a checkpoint of either kind."""
    return checkpoint.get("train_state", checkpoint)["model"]


def history_of(checkpoint):
    """The history in a checkpoint, without times."""
    return [record | {"seconds": 0.0} for record in checkpoint["loop_state"]["history"]]


QUICK = FitConfig(epochs=6, learning_rate=0.05)


# --- training


def test_training_recovers_a_linear_model():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    before = evaluator(model)()["mae"]
    history = run(model, FitConfig(epochs=30, learning_rate=0.1))
    assert history[-1].val_mae < 0.1 * before
    assert history[-1].val_r2 > 0.98
    torch.testing.assert_close(model[0].weight[0].detach(), TRUTH, atol=0.1, rtol=0)


def test_the_model_ends_with_the_weights_of_the_best_epoch_in_eval_mode():
    model, states = Net(), []
    answers = given_maes([3.0, 1.0, 2.0, 1.0, 5.0])

    def validate():
        assert not model.training
        states.append(snapshot(model))
        return answers()

    history = run(model, FitConfig(epochs=5, learning_rate=0.05), validate)
    assert [r.best for r in history] == [True, True, False, False, False]
    assert equal(snapshot(model), states[1])
    assert not equal(states[1], states[4])
    assert not model.training


@pytest.mark.parametrize(
    ("maes", "patience", "epochs"),
    [
        ([3, 2, 2.5, 2.6, 1, 1], 2, 4),
        ([3, 2, 2.5, 1.9, 2, 2, 2], 2, 6),
        ([3, 3, 3, 3], 1, 2),
        ([4, 3, 2, 1], 1, 4),
        ([1, 2, 3, 4], 9, 4),
    ],
)
def test_patience_counts_epochs_without_improvement(maes, patience, epochs):
    config = FitConfig(epochs=len(maes), patience=patience)
    assert len(run(Net(), config, given_maes(maes))) == epochs


def test_frozen_parameters_do_not_change_and_all_others_do():
    model = Net()
    before = snapshot(model)
    run(model, QUICK)
    after = model.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == set(before) - {"frozen.weight", "frozen.bias"}
    assert all(p.grad is None for p in model.frozen.parameters())


def test_loss_is_a_mean_over_samples_not_over_batches():
    """The last batch is smaller. Without updates the mean equals that of one large batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)).double()
    no_updates = FitConfig(epochs=1, learning_rate=1e-30, beta=0.1)
    (record,) = Trainer(
        model,
        lambda *_: LazySequence(
            [
                [(X[:48].double(), Y[:48].double(), [])],
                [(X[48:].double(), Y[48:], [])],
            ].__getitem__,
            2,
        ),
        given_maes([1.0]),
        no_updates,
        device=CPU,
        quiet=True,
    ).train()
    with torch.no_grad():
        expected = nn.functional.smooth_l1_loss(model(X.double()).float(), Y, beta=0.1)
    assert record.train_loss == pytest.approx(expected.item(), rel=0.02)  # bfloat16 where fast


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
def test_training_stops_at_a_loss_that_is_not_finite(bad):
    def with_invalid_target(epoch, shard):
        steps = batches(epoch, shard)

        def step(index):
            ((x, y, ids),) = steps[index]
            return [(x, y + (bad if epoch == 2 else 0), ids)]

        return LazySequence(step, len(steps))

    seen = []
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        run(Net(), QUICK, batches=with_invalid_target, callbacks=Callbacks(seen.append))
    assert len(seen) == 1


def test_each_epoch_is_reported_once_and_in_order():
    seen = []
    history = run(Net(), QUICK, callbacks=Callbacks(seen.append))
    assert seen == history
    assert [r.epoch for r in seen] == [1, 2, 3, 4, 5, 6]


def test_names_of_the_metrics():
    (record,) = run(Net(), FitConfig(epochs=1))
    names = {"train_loss", "val_mae", "val_rmse", "val_r2", "learning_rate"}
    assert set(record.metrics()) == names | {"epoch_seconds", "step_parts"}
    of_trees = EpochRecord.of_single_fit({"mae": 2.0, "rmse": 3.0, "r2": 0.5}, 60.0)
    assert of_trees.metrics() == {"val_mae": 2.0, "val_rmse": 3.0, "val_r2": 0.5}


def test_progress_line_has_epoch_errors_best_epoch_and_remaining_time():
    history = run(Net(), FitConfig(epochs=2), given_maes([4.25, 5.5]))
    line = progress_line(history, 10)
    for part in ("epoch   2/10", "val MAE 5.500 K", "best 4.250 K (epoch 1)", "left"):
        assert part in line


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"epochs": 0}, "0"),
        ({"learning_rate": 0.0}, "0.0"),
        ({"learning_rate": -1e-4}, "-0.0001"),
        ({"learning_rate": math.nan}, "nan"),
        ({"warmup": 1.0}, "1.0"),
        ({"warmup": -0.1}, "-0.1"),
        ({"patience": 0}, "0"),
    ],
    ids=str,
)
def test_invalid_settings_are_refused_with_their_value(settings, value):
    with pytest.raises(ValueError, match=rf"{next(iter(settings))} .*got {value}\.$"):
        FitConfig(**settings)


# --- the schedule


def test_cosine_with_warmup_has_the_values_computed_by_hand():
    factor = cosine_with_warmup(10, 0.2)
    found = [factor(step) for step in (0, 1, 2, 4, 6, 10, 12)]
    half = [0.5 * (1 + math.cos(math.pi * progress)) for progress in (0, 0.25, 0.5, 1, 1)]
    assert found == pytest.approx([0.5, 1.0, *half])
    assert half == pytest.approx([1, 0.8535534, 0.5, 0, 0])


def test_schedule_rises_to_the_peak_and_falls_to_zero():
    rates = [cosine_with_warmup(1000, 0.03)(step) for step in range(1001)]
    peak = rates.index(1.0)
    assert peak == 29
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_learning_rate_is_the_peak_rate_times_the_schedule():
    history = run(Net(), FitConfig(epochs=4, learning_rate=0.02, warmup=0.1))
    factor = cosine_with_warmup(4 * STEPS, 0.1)
    expected = [0.02 * factor(epoch * STEPS) for epoch in range(4)]
    assert [r.learning_rate for r in history] == pytest.approx(expected)


# --- resuming


def stop_after(epoch):
    def on_epoch(record):
        if record.epoch == epoch:
            raise KeyboardInterrupt

    return on_epoch


def stop_within(epoch):
    def broken(number, shard):
        def on_step(index):
            if (number, index) == (epoch, 3):
                raise KeyboardInterrupt

        return batches(number, shard, on_step)

    return broken


@pytest.mark.parametrize("epoch", [1, 3, 5])
@pytest.mark.parametrize("where", ["after", "within"])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_run(tmp_path, epoch, where):
    uninterrupted = Net()
    history = run(uninterrupted, QUICK)

    stopped = {"callbacks": Callbacks(stop_after(epoch))}
    if where == "within":
        stopped = {"batches": stop_within(epoch + 1)}
    with pytest.raises(KeyboardInterrupt):
        run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}), **stopped)

    resumed = Net(seed=99)  # other weights and another random state
    resumed.frozen.load_state_dict(uninterrupted.frozen.state_dict())
    seen = []
    again = run(
        resumed,
        QUICK,
        checkpoints=Checkpoints(tmp_path, {"run": "same"}, resume=True),
        callbacks=Callbacks(seen.append),
    )
    assert without_times(again) == without_times(history)
    assert without_times(seen) == without_times(history)  # earlier epochs are reported again
    assert equal(resumed.state_dict(), uninterrupted.state_dict())


@pytest.mark.parametrize("every", [1, 2, 100])
def test_a_run_stopped_at_any_step_and_resumed_equals_an_uninterrupted_run(tmp_path, every):
    """Also if the process cannot write anything when it stops."""
    uninterrupted = Net()
    history = run(uninterrupted, QUICK)
    for turn, (epoch, step) in enumerate([(1, 0), (1, 1), (1, 6), (3, 4), (6, 5)]):
        folder = tmp_path / str(turn)

        checkpoints = Checkpoints(folder, {"run": "same"}, save_every=every)

        def stopping(number, shard, then=(epoch, step), checkpoints=checkpoints):
            def on_step(index):
                if (number, index) == then:
                    checkpoints.folder = tmp_path / "nowhere"  # what the loop writes now is lost
                    raise KeyboardInterrupt

            return batches(number, shard, on_step)

        with pytest.raises(KeyboardInterrupt):
            run(Net(), QUICK, checkpoints=checkpoints, batches=stopping)
        resumed = Net(seed=99)
        resumed.frozen.load_state_dict(uninterrupted.frozen.state_dict())
        checkpoints = Checkpoints(folder, {"run": "same"}, save_every=every, resume=True)
        assert without_times(run(resumed, QUICK, checkpoints=checkpoints)) == without_times(history)
        assert equal(resumed.state_dict(), uninterrupted.state_dict())


def test_checkpoints_of_a_resumed_run_equal_those_of_an_uninterrupted_run(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path / "uninterrupted", {"run": "same"}))
    with pytest.raises(KeyboardInterrupt):
        run(
            Net(),
            QUICK,
            checkpoints=Checkpoints(tmp_path / "two", {"run": "same"}),
            callbacks=Callbacks(stop_after(2)),
        )
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path / "two", {"run": "same"}, resume=True))
    for name in ("best.pt", "last.pt"):
        one = load_checkpoint(tmp_path / "uninterrupted" / name, identity={"run": "same"})
        two = load_checkpoint(tmp_path / "two" / name, identity={"run": "same"})
        assert equal(weights(one), weights(two))
    assert history_of(one) == history_of(two)


def test_a_resumed_run_keeps_the_best_epoch_before_the_stop(tmp_path):
    model, states = Net(), []
    answers = given_maes([1.0, 2.0])

    def validate():
        states.append(snapshot(model))
        return answers()

    with pytest.raises(KeyboardInterrupt):
        run(
            model,
            QUICK,
            validate,
            checkpoints=Checkpoints(tmp_path, {"run": "same"}),
            callbacks=Callbacks(stop_after(2)),
        )
    resumed = Net()
    checkpoints = Checkpoints(tmp_path, {"run": "same"}, resume=True)
    history = run(resumed, QUICK, given_maes([3.0, 4.0, 5.0, 6.0]), checkpoints=checkpoints)
    assert [r.val_mae for r in history] == [1, 2, 3, 4, 5, 6]
    assert equal(resumed.state_dict(), states[0])


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    model = Net()
    history = run(model, QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    resumed = Net()
    checkpoints = Checkpoints(tmp_path, {"run": "same"}, resume=True)
    again = run(resumed, QUICK, given_maes([]), checkpoints=checkpoints)
    assert again == history
    assert equal(resumed.state_dict(), model.state_dict())


def test_resuming_does_not_reset_patience(tmp_path):
    config = FitConfig(epochs=9, patience=2)
    run(Net(), config, given_maes([1, 2, 3]), checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    checkpoints = Checkpoints(tmp_path, {"run": "same"}, resume=True)
    assert len(run(Net(), config, given_maes([]), checkpoints=checkpoints)) == 3


def test_a_new_run_can_use_the_folder_of_a_finished_run(tmp_path):
    """Also if the second run is killed before it has saved its state."""
    first = Checkpoints(tmp_path, {"run": "first"})
    run(Net(), QUICK, checkpoints=first)
    first.finish()
    second = Checkpoints(tmp_path, {"run": "second"})
    assert not is_unfinished(tmp_path), "nothing has changed yet"
    second.begin()
    assert is_unfinished(tmp_path)
    resumed = Checkpoints(tmp_path, {"run": "second"}, resume=True)
    assert not resumed.has_train_state
    with pytest.raises(CheckpointError, match="its run is second, here it is first"):
        Checkpoints(tmp_path, {"run": "first"}, resume=True)
    run(Net(), QUICK, checkpoints=resumed)


def test_resume_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}, resume=True))


def test_a_new_run_does_not_overwrite_an_unfinished_run(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    with pytest.raises(CheckpointError, match=rf"resume it with resume={tmp_path}"):
        Checkpoints(tmp_path, {"run": "same"})


# --- memory


class LimitedMemoryNet(nn.Module):
    """A network that runs out of memory in training for more than ``max_samples`` samples."""

    def __init__(self, max_samples):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
        self.max_samples = max_samples

    def forward(self, x):
        if self.training and len(x) > self.max_samples:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return self.layers(x)


def test_steps_are_cut_when_memory_runs_out_and_training_gives_the_same_result(monkeypatch):
    monkeypatch.setattr("supervision.training.trainer.autocast", lambda device: nullcontext())
    notes, unlimited, limited = [], LimitedMemoryNet(99), LimitedMemoryNet(3)
    history = run(unlimited, QUICK)
    again = run(limited, QUICK, callbacks=Callbacks(note=notes.append))
    assert "cut into 2 parts" in notes[0]
    assert "cut into 4 parts" in notes[1]
    assert "an allocation failed (DefaultCPUAllocator: can't allocate memory" in notes[0]
    assert [record.accumulation_steps for record in again] == [4] * QUICK.epochs
    for one, other in zip(history, again, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert other.val_mae == pytest.approx(one.val_mae, rel=1e-4)


def test_a_resumed_run_keeps_the_number_of_micro_batches(tmp_path):
    notes = []
    stopped = {"checkpoints": Checkpoints(tmp_path, {}), "callbacks": Callbacks(stop_after(2))}
    with pytest.raises(KeyboardInterrupt):
        run(LimitedMemoryNet(3), QUICK, **stopped)
    resumed = {"checkpoints": Checkpoints(tmp_path, {}, resume=True)}
    run(LimitedMemoryNet(3), QUICK, callbacks=Callbacks(note=notes.append), **resumed)
    assert notes == []


def test_a_single_sample_that_does_not_fit_into_memory_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="can't allocate"):
        run(LimitedMemoryNet(0), QUICK, checkpoints=Checkpoints(tmp_path, {}))
    assert Checkpoints(tmp_path, {}, resume=True).load()["loop_state"]["step"] == 0


def test_other_runtime_errors_are_not_treated_as_lack_of_memory(monkeypatch):
    monkeypatch.setattr(LimitedMemoryNet, "forward", lambda self, x: x @ torch.zeros(7, 1))
    with pytest.raises(RuntimeError, match="shapes"):
        run(LimitedMemoryNet(9), QUICK)


def test_steps_are_cut_when_the_memory_monitor_reports_a_shortage(monkeypatch):
    shortages = iter(["the system is swapping", "", "", "only 0.1 GiB"])
    monkeypatch.setattr(
        StepMemoryMonitor, "check_after_step", lambda self, seconds: next(shortages, "")
    )
    notes = []
    history = run(LimitedMemoryNet(99), QUICK, callbacks=Callbacks(note=notes.append))
    assert notes == [
        "Steps are cut into 2 parts from here on: the system is swapping.",
        "Steps are cut into 4 parts from here on: only 0.1 GiB.",
    ]
    assert len(history) == QUICK.epochs


# --- epoch 0

EPOCH_0 = EpochRecord(0, 0.2, 2.0, 3.0, 0.5, 1e-3, 60.0, best=True)


def test_the_initial_model_counts_when_the_best_epoch_is_selected():
    model = Net()
    start = snapshot(model)
    config = FitConfig(epochs=5, learning_rate=0.05, patience=2)
    history = run(model, config, given_maes([2.5, 2.1, 2.2]), initial=EPOCH_0)
    assert [r.epoch for r in history] == [0, 1, 2]
    assert equal(snapshot(model), start)
    assert "left" in progress_line(history, 5)


def test_epoch_0_is_reported_and_kept_by_a_resumed_run(tmp_path):
    config, records = FitConfig(epochs=3, learning_rate=0.05), []
    start = snapshot(Net())
    stopped = {"checkpoints": Checkpoints(tmp_path, {}), "callbacks": Callbacks(stop_after(1))}
    with pytest.raises(KeyboardInterrupt):
        run(Net(), config, given_maes([3.0]), initial=EPOCH_0, **stopped)
    best = load_checkpoint(tmp_path / "best.pt", identity={})["model"]
    assert all(torch.equal(tensor, start[name]) for name, tensor in best.items())
    model = Net()
    resumed = {
        "checkpoints": Checkpoints(tmp_path, {}, resume=True),
        "callbacks": Callbacks(records.append),
    }
    assert run(model, config, given_maes([4.0, 5.0]), **resumed) == records
    assert [r.val_mae for r in records] == [2.0, 3.0, 4.0, 5.0]
    assert equal(snapshot(model), start)


def test_a_checkpoint_of_a_model_built_by_other_code_is_refused(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {}))
    other = Net()
    other.head = nn.Linear(16, 2)
    checkpoints = Checkpoints(tmp_path, {}, resume=True)
    with pytest.raises(CheckpointError, match=r"other code built .*\.$"):
        run(other, replace(QUICK, epochs=9), checkpoints=checkpoints)


def test_an_impossible_resume_is_refused_before_training_starts(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        Checkpoints(tmp_path, {}, resume=True)
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"rate": "1", "split": "a"}))
    with pytest.raises(CheckpointError, match=r"its split is a, here it is b\.$"):
        Checkpoints(tmp_path, {"rate": "1", "split": "b"}, resume=True)


def test_checkpoints_contain_trainable_parameters_and_no_frozen_backbone(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    state = load_checkpoint(tmp_path / "last.pt", identity={"run": "same"})
    assert not any(name.startswith("frozen") for name in weights(state))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt", "last.pt", "previous.pt"]


def test_trainable_state_is_restored_exactly_and_only_to_a_matching_model():
    model = Net()
    state = trainable_state(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert not equal(trainable_state(model), state)  # copies, not views
    load_trainable(model, state)
    assert equal(trainable_state(model), state)
    with pytest.raises(KeyError, match="frozen"):
        load_trainable(model, state | {"frozen.weight": torch.zeros(16, 3)})


# --- batches


def test_each_epoch_has_every_index_once_in_a_different_order():
    epochs = [shuffled(COUNT, BATCH, seed=3, epoch=epoch) for epoch in (1, 2)]
    for found in epochs:
        assert [len(rows) for rows in found] == [8] * 6 + [2]
        assert sorted(i for rows in found for i in rows) == list(range(COUNT))
    assert epochs[0] != epochs[1]
    assert epochs[0] == shuffled(COUNT, BATCH, seed=3, epoch=1)
    assert epochs[0] != shuffled(COUNT, BATCH, seed=4, epoch=1)


def test_shuffling_does_not_change_the_global_random_state():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    shuffled(COUNT, BATCH, seed=3, epoch=1)
    assert torch.equal(torch.rand(1), expected)


# --- checkpoint files


STATE = {"identity": {"run": "same"}, "model": {"w": torch.arange(500.0)}}


def test_a_saved_checkpoint_can_be_loaded(tmp_path):
    path = tmp_path / "new/folder/last.pt"
    save_checkpoint(path, STATE)
    assert equal(load_checkpoint(path, identity={"run": "same"})["model"], STATE["model"])
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_a_failed_write_keeps_the_old_checkpoint_and_leaves_no_partial_file(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)

    def disk_full(_state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, STATE | {"model": {}})
    assert equal(load_checkpoint(path, identity={"run": "same"})["model"], STATE["model"])
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def check_refused(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path, identity={"run": "same"})
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: b"\x00" * len(raw),
        lambda raw: b"<html>",
    ],
    ids=["empty", "half", "last byte lost", "zeros", "web page"],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(damage(path.read_bytes()))
    check_refused(path, "is damaged")


def test_a_flipped_bit_in_a_weight_is_detected(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    raw = bytearray(path.read_bytes())
    raw[raw.index(STATE["model"]["w"].numpy().tobytes()) + 1001] ^= 1
    path.write_bytes(raw)
    check_refused(path, "is damaged")


def test_a_flipped_byte_is_detected_or_has_no_effect(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    undamaged = path.read_bytes()
    for position in random.Random(0).sample(range(len(undamaged)), 60):
        raw = bytearray(undamaged)
        raw[position] ^= 0x40
        path.write_bytes(raw)
        try:
            state = load_checkpoint(path, identity={"run": "same"})
        except CheckpointError:
            continue
        assert equal(state["model"], STATE["model"])


@pytest.mark.parametrize(
    "state",
    [[1, 2], torch.zeros(3), {"model": {}}],
    ids=["list", "tensor", "weights of something"],
)
def test_another_torch_file_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "last.pt")
    check_refused(tmp_path / "last.pt", "is no checkpoint of this project")


def test_a_checkpoint_of_an_earlier_version_is_refused_with_advice(tmp_path):
    torch.save({"format": 3, "identity": {"run": "same"}, "descent": {}}, tmp_path / "last.pt")
    check_refused(tmp_path / "last.pt", "by another version of this project.*resume=never")


@pytest.mark.parametrize("state", [{"identity": {"run": "other"}}, {}], ids=["other", "none"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, state):
    save_checkpoint(tmp_path / "last.pt", state)
    check_refused(tmp_path / "last.pt", "is of another training")


@pytest.mark.parametrize("name", ["missing.pt", "."], ids=["missing", "folder"])
def test_a_missing_checkpoint_is_refused(tmp_path, name):
    check_refused(tmp_path / name, "There is no checkpoint")


class Evil:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return (open, (self.target, "w"))


@pytest.mark.parametrize("how", ["pickle", "torch", "old torch", "checkpoint"])
def test_pickles_are_not_loaded(tmp_path, how):
    target, path = tmp_path / "owned", tmp_path / "last.pt"
    evil = {"format": 3, "identity": {"run": "same"}, "model": Evil(target)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    elif how == "checkpoint":
        save_checkpoint(path, evil)
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=how == "torch")
    check_refused(path, "is damaged")
    assert not target.exists()


def test_another_zip_file_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "last.pt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    check_refused(tmp_path / "last.pt", "is damaged")
