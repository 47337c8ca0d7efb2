"""fit(), its checkpoints, and exact resume, on small models of plain tensors."""

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
from supervision.training.state import (
    FitConfig,
    cosine_with_warmup,
    load_trainable,
    trainable_state,
)
from supervision.training.trainer import fit, progress_line

CPU = torch.device("cpu")
COUNT, BATCH = 50, 8
STEPS = -(-COUNT // BATCH)
TRUTH = torch.tensor([1.0, -2.0, 0.5])
X = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(0))
Y = X @ TRUTH + 0.3


class Net(nn.Module):
    """A frozen layer, dropout, a buffer that training moves, and a head: ``[b, 3]`` -> ``[b]``."""

    def __init__(self, seed=0, dropout=0.2):
        super().__init__()
        torch.manual_seed(seed)
        self.frozen = nn.Linear(3, 16).requires_grad_(False)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.dropout(torch.tanh(self.norm(self.frozen(x))))).squeeze(-1)


WHOLE = RankShard()


def batches(epoch, share=WHOLE, at=lambda place: None):
    """The steps of an epoch; ``at`` is told of each before it is made."""
    order = shuffled(COUNT, BATCH, seed=3, epoch=epoch)

    def step(place):
        at(place)
        rows = share.of(order[place])
        return [
            (X[part], Y[part], [str(int(i)) for i in part])
            for part in torch.tensor(rows).tensor_split(min(share.parts, len(rows)))
        ]

    return LazySequence(step, len(order))


def judge(model):
    """A validate() that measures the model on everything."""

    def validate():
        with torch.no_grad():
            error = (model(X) - Y).double()
        mae, mse = error.abs().mean().item(), (error**2).mean().item()
        return {"mae": mae, "rmse": mse**0.5, "r2": 1 - mse / Y.var().item()}

    return validate


def scripted(maes):
    """A validate() that says what it is told to, epoch by epoch."""
    answers = iter(maes)
    return lambda: {"mae": next(answers), "rmse": 0.0, "r2": 0.0}


def run(model, config, validate=None, **options):
    return fit(
        model,
        options.pop("batches", batches),
        validate or judge(model),
        config,
        device=CPU,
        quiet=True,
        **options,
    )


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def lines(history):
    """A history without what the clock says."""
    return [asdict(replace(record, seconds=0.0)) for record in history]


def weights(checkpoint):
    """All tensors that a checkpoint of either kind holds of the model."""
    return checkpoint.get("descent", checkpoint)["model"]


def lines_of(checkpoint):
    """A checkpoint's history without what the clock says."""
    return [record | {"seconds": 0.0} for record in checkpoint["progress"]["history"]]


QUICK = FitConfig(epochs=6, learning_rate=0.05)


# --- learning


def test_it_learns():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    before = judge(model)()["mae"]
    history = run(model, FitConfig(epochs=30, learning_rate=0.1))
    assert history[-1].val_mae < 0.1 * before
    assert history[-1].val_r2 > 0.98
    torch.testing.assert_close(model[0].weight[0].detach(), TRUTH, atol=0.1, rtol=0)


def test_it_ends_at_its_best_epoch_in_eval_mode():
    model, kept = Net(), []
    answers = scripted([3.0, 1.0, 2.0, 1.0, 5.0])

    def validate():
        assert not model.training
        kept.append(snapshot(model))
        return answers()

    history = run(model, FitConfig(epochs=5, learning_rate=0.05), validate)
    assert [r.best for r in history] == [True, True, False, False, False]
    assert equal(snapshot(model), kept[1])
    assert not equal(kept[1], kept[4])
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
def test_patience_counts_epochs_without_gain(maes, patience, epochs):
    config = FitConfig(epochs=len(maes), patience=patience)
    assert len(run(Net(), config, scripted(maes))) == epochs


def test_frozen_parameters_stay_bit_equal_and_the_rest_moves():
    model = Net()
    before = snapshot(model)
    run(model, QUICK)
    after = model.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == set(before) - {"frozen.weight", "frozen.bias"}
    assert all(p.grad is None for p in model.frozen.parameters())


def test_loss_is_a_mean_over_samples_not_over_batches():
    """The last batch is smaller: at a standstill the mean must be that of one large batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)).double()
    still = FitConfig(epochs=1, learning_rate=1e-30, beta=0.1)
    (record,) = fit(
        model,
        lambda *_: LazySequence(
            [
                [(X[:48].double(), Y[:48].double(), [])],
                [(X[48:].double(), Y[48:], [])],
            ].__getitem__,
            2,
        ),
        scripted([1.0]),
        still,
        device=CPU,
        quiet=True,
    )
    with torch.no_grad():
        expected = nn.functional.smooth_l1_loss(model(X.double()).float(), Y, beta=0.1)
    assert record.train_loss == pytest.approx(expected.item(), rel=0.02)  # bfloat16 where fast


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
def test_a_loss_that_is_not_finite_stops(bad):
    def poisoned(epoch, share):
        steps = batches(epoch, share)

        def step(place):
            ((x, y, ids),) = steps[place]
            return [(x, y + (bad if epoch == 2 else 0), ids)]

        return LazySequence(step, len(steps))

    seen = []
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        run(Net(), QUICK, batches=poisoned, listener=Callbacks(seen.append))
    assert len(seen) == 1


def test_every_epoch_is_told_once_and_in_order():
    seen = []
    history = run(Net(), QUICK, listener=Callbacks(seen.append))
    assert seen == history
    assert [r.epoch for r in seen] == [1, 2, 3, 4, 5, 6]


def test_metrics_have_the_names_others_rely_on():
    (record,) = run(Net(), FitConfig(epochs=1))
    names = {"train_loss", "val_mae", "val_rmse", "val_r2", "learning_rate"}
    assert set(record.metrics()) == names | {"epoch_seconds", "step_parts"}


def test_progress_line_says_what_matters():
    history = run(Net(), FitConfig(epochs=2), scripted([4.25, 5.5]))
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
def test_bad_settings_are_refused_with_their_value(settings, value):
    with pytest.raises(ValueError, match=rf"{next(iter(settings))} .*got {value}\.$"):
        FitConfig(**settings)


# --- the schedule


def test_cosine_with_warmup_by_hand():
    factor = cosine_with_warmup(10, 0.2)
    found = [factor(step) for step in (0, 1, 2, 4, 6, 10, 12)]
    half = [0.5 * (1 + math.cos(math.pi * share)) for share in (0, 0.25, 0.5, 1, 1)]
    assert found == pytest.approx([0.5, 1.0, *half])
    assert half == pytest.approx([1, 0.8535534, 0.5, 0, 0])


def test_schedule_rises_to_the_peak_and_falls_to_zero():
    rates = [cosine_with_warmup(1000, 0.03)(step) for step in range(1001)]
    peak = rates.index(1.0)
    assert peak == 29
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_the_rate_used_is_the_schedule_times_the_peak():
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
    def broken(number, share):
        def at(place):
            if (number, place) == (epoch, 3):
                raise KeyboardInterrupt

        return batches(number, share, at)

    return broken


@pytest.mark.parametrize("epoch", [1, 3, 5])
@pytest.mark.parametrize("where", ["after", "within"])
def test_stopped_and_resumed_is_as_if_never_stopped(tmp_path, epoch, where):
    whole = Net()
    history = run(whole, QUICK)

    stopped = {"listener": Callbacks(stop_after(epoch))}
    if where == "within":
        stopped = {"batches": stop_within(epoch + 1)}
    with pytest.raises(KeyboardInterrupt):
        run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}), **stopped)

    resumed = Net(seed=99)  # other weights, another state of the random number generator
    resumed.frozen.load_state_dict(whole.frozen.state_dict())
    seen = []
    again = run(
        resumed,
        QUICK,
        checkpoints=Checkpoints(tmp_path, {"run": "same"}, resume=True),
        listener=Callbacks(seen.append),
    )
    assert lines(again) == lines(history)
    assert lines(seen) == lines(history)  # earlier epochs are told again
    assert equal(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize("every", [1, 2, 100])
def test_stopped_anywhere_and_resumed_is_as_if_never_stopped(tmp_path, every):
    """Even where nothing could be written down at the end: a process that is just gone."""
    whole = Net()
    history = run(whole, QUICK)
    for turn, (epoch, step) in enumerate([(1, 0), (1, 1), (1, 6), (3, 4), (6, 5)]):
        folder = tmp_path / str(turn)

        checkpoints = Checkpoints(folder, {"run": "same"}, every=every)

        def gone(number, share, then=(epoch, step), checkpoints=checkpoints):
            def at(place):
                if (number, place) == then:
                    checkpoints.folder = tmp_path / "nowhere"  # what the loop writes now is lost
                    raise KeyboardInterrupt

            return batches(number, share, at)

        with pytest.raises(KeyboardInterrupt):
            run(Net(), QUICK, checkpoints=checkpoints, batches=gone)
        resumed = Net(seed=99)
        resumed.frozen.load_state_dict(whole.frozen.state_dict())
        checkpoints = Checkpoints(folder, {"run": "same"}, every=every, resume=True)
        assert lines(run(resumed, QUICK, checkpoints=checkpoints)) == lines(history)
        assert equal(resumed.state_dict(), whole.state_dict())


def test_last_checkpoints_are_those_of_an_uninterrupted_run(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path / "whole", {"run": "same"}))
    with pytest.raises(KeyboardInterrupt):
        run(
            Net(),
            QUICK,
            checkpoints=Checkpoints(tmp_path / "two", {"run": "same"}),
            listener=Callbacks(stop_after(2)),
        )
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path / "two", {"run": "same"}, resume=True))
    for name in ("best.pt", "last.pt"):
        one = load_checkpoint(tmp_path / "whole" / name, identity={"run": "same"})
        two = load_checkpoint(tmp_path / "two" / name, identity={"run": "same"})
        assert equal(weights(one), weights(two))
    assert lines_of(one) == lines_of(two)


def test_a_best_epoch_before_the_stop_is_not_forgotten(tmp_path):
    model, kept = Net(), []
    answers = scripted([1.0, 2.0])

    def validate():
        kept.append(snapshot(model))
        return answers()

    with pytest.raises(KeyboardInterrupt):
        run(
            model,
            QUICK,
            validate,
            checkpoints=Checkpoints(tmp_path, {"run": "same"}),
            listener=Callbacks(stop_after(2)),
        )
    resumed = Net()
    checkpoints = Checkpoints(tmp_path, {"run": "same"}, resume=True)
    history = run(resumed, QUICK, scripted([3.0, 4.0, 5.0, 6.0]), checkpoints=checkpoints)
    assert [r.val_mae for r in history] == [1, 2, 3, 4, 5, 6]
    assert equal(resumed.state_dict(), kept[0])


def test_resuming_what_has_ended_changes_nothing(tmp_path):
    model = Net()
    history = run(model, QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    resumed = Net()
    checkpoints = Checkpoints(tmp_path, {"run": "same"}, resume=True)
    again = run(resumed, QUICK, scripted([]), checkpoints=checkpoints)
    assert again == history
    assert equal(resumed.state_dict(), model.state_dict())


def test_patience_is_not_renewed_by_resuming(tmp_path):
    config = FitConfig(epochs=9, patience=2)
    run(Net(), config, scripted([1, 2, 3]), checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    checkpoints = Checkpoints(tmp_path, {"run": "same"}, resume=True)
    assert len(run(Net(), config, scripted([]), checkpoints=checkpoints)) == 3


def test_a_folder_is_used_again_and_belongs_to_who_uses_it(tmp_path):
    """Also where the second training is killed before it has a state of its own."""
    first = Checkpoints(tmp_path, {"run": "first"})
    run(Net(), QUICK, checkpoints=first)
    first.finish()
    second = Checkpoints(tmp_path, {"run": "second"})
    assert not is_unfinished(tmp_path), "nothing is changed yet"
    second.begin()
    assert is_unfinished(tmp_path)
    carried_on = Checkpoints(tmp_path, {"run": "second"}, resume=True)
    assert not carried_on.descending
    with pytest.raises(CheckpointError, match="its run is second, here it is first"):
        Checkpoints(tmp_path, {"run": "first"}, resume=True)
    run(Net(), QUICK, checkpoints=carried_on)


def test_resume_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}, resume=True))


def test_a_new_training_does_not_overwrite_another(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    with pytest.raises(CheckpointError, match=rf"carry it on with resume={tmp_path}"):
        Checkpoints(tmp_path, {"run": "same"})


# --- memory


class Cramped(nn.Module):
    """Plain layers without dropout or batch norm, for which there is memory for so many samples."""

    def __init__(self, room):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
        self.room = room

    def forward(self, x):
        if self.training and len(x) > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return self.layers(x)


def test_where_memory_fails_steps_are_cut_and_learn_the_same(monkeypatch):
    monkeypatch.setattr("supervision.training.trainer.autocast", lambda device: nullcontext())
    told, roomy, cramped = [], Cramped(99), Cramped(3)
    history = run(roomy, QUICK)
    again = run(cramped, QUICK, listener=Callbacks(note=told.append))
    assert "cut into 2 parts" in told[0]
    assert "cut into 4 parts" in told[1]
    assert "an allocation failed (DefaultCPUAllocator: can't allocate memory" in told[0]
    assert [record.parts for record in again] == [4] * QUICK.epochs
    for one, other in zip(history, again, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert other.val_mae == pytest.approx(one.val_mae, rel=1e-4)


def test_what_was_cut_stays_cut_when_resumed(tmp_path):
    told = []
    stopped = {"checkpoints": Checkpoints(tmp_path, {}), "listener": Callbacks(stop_after(2))}
    with pytest.raises(KeyboardInterrupt):
        run(Cramped(3), QUICK, **stopped)
    resumed = {"checkpoints": Checkpoints(tmp_path, {}, resume=True)}
    run(Cramped(3), QUICK, listener=Callbacks(note=told.append), **resumed)
    assert told == []


def test_one_sample_that_does_not_fit_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="can't allocate"):
        run(Cramped(0), QUICK, checkpoints=Checkpoints(tmp_path, {}))
    assert Checkpoints(tmp_path, {}, resume=True).load()["progress"]["step"] == 0


def test_an_error_that_is_not_of_memory_is_not_taken_for_one(monkeypatch):
    monkeypatch.setattr(Cramped, "forward", lambda self, x: x @ torch.zeros(7, 1))
    with pytest.raises(RuntimeError, match="shapes"):
        run(Cramped(9), QUICK)


def test_what_the_watch_says_is_done(monkeypatch):
    says = iter(["the system is swapping", "", "", "only 0.1 GiB"])
    monkeypatch.setattr(StepMemoryMonitor, "too_much", lambda self, seconds: next(says, ""))
    told = []
    history = run(Cramped(99), QUICK, listener=Callbacks(note=told.append))
    assert told == [
        "Steps are cut into 2 parts from here on: the system is swapping.",
        "Steps are cut into 4 parts from here on: only 0.1 GiB.",
    ]
    assert len(history) == QUICK.epochs


# --- epoch 0

BEFORE = EpochRecord(0, 0.2, 2.0, 3.0, 0.5, 1e-3, 60.0, best=True)


def test_what_the_model_was_before_competes_for_the_best():
    model = Net()
    start = snapshot(model)
    config = FitConfig(epochs=5, learning_rate=0.05, patience=2)
    history = run(model, config, scripted([2.5, 2.1, 2.2]), before=BEFORE)
    assert [r.epoch for r in history] == [0, 1, 2]
    assert equal(snapshot(model), start)
    assert "left" in progress_line(history, 5)


def test_epoch_0_is_told_and_survives_a_stop(tmp_path):
    config, told = FitConfig(epochs=3, learning_rate=0.05), []
    start = snapshot(Net())
    stopped = {"checkpoints": Checkpoints(tmp_path, {}), "listener": Callbacks(stop_after(1))}
    with pytest.raises(KeyboardInterrupt):
        run(Net(), config, scripted([3.0]), before=BEFORE, **stopped)
    best = load_checkpoint(tmp_path / "best.pt", identity={})["model"]
    assert all(torch.equal(tensor, start[name]) for name, tensor in best.items())
    model = Net()
    resumed = {
        "checkpoints": Checkpoints(tmp_path, {}, resume=True),
        "listener": Callbacks(told.append),
    }
    assert run(model, config, scripted([4.0, 5.0]), **resumed) == told
    assert [r.val_mae for r in told] == [2.0, 3.0, 4.0, 5.0]
    assert equal(snapshot(model), start)


def test_a_checkpoint_of_a_model_that_other_code_built_is_refused(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {}))
    other = Net()
    other.head = nn.Linear(16, 2)
    going_on = Checkpoints(tmp_path, {}, resume=True)
    with pytest.raises(CheckpointError, match=r"other code built .*\.$"):
        run(other, replace(QUICK, epochs=9), checkpoints=going_on)


def test_a_resume_that_cannot_be_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        Checkpoints(tmp_path, {}, resume=True)
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"rate": "1", "split": "a"}))
    with pytest.raises(CheckpointError, match=r"its split is a, here it is b\.$"):
        Checkpoints(tmp_path, {"rate": "1", "split": "b"}, resume=True)


def test_checkpoints_hold_what_trains_and_no_frozen_backbone(tmp_path):
    run(Net(), QUICK, checkpoints=Checkpoints(tmp_path, {"run": "same"}))
    state = load_checkpoint(tmp_path / "last.pt", identity={"run": "same"})
    assert not any(name.startswith("frozen") for name in weights(state))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt", "last.pt", "previous.pt"]


def test_trainable_state_goes_back_bit_equal_and_only_where_it_fits():
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


def test_an_epoch_is_every_index_once_in_an_order_of_its_own():
    epochs = [shuffled(COUNT, BATCH, seed=3, epoch=epoch) for epoch in (1, 2)]
    for found in epochs:
        assert [len(rows) for rows in found] == [8] * 6 + [2]
        assert sorted(i for rows in found for i in rows) == list(range(COUNT))
    assert epochs[0] != epochs[1]
    assert epochs[0] == shuffled(COUNT, BATCH, seed=3, epoch=1)
    assert epochs[0] != shuffled(COUNT, BATCH, seed=4, epoch=1)


def test_order_does_not_touch_the_common_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    shuffled(COUNT, BATCH, seed=3, epoch=1)
    assert torch.equal(torch.rand(1), expected)


# --- checkpoint files


STATE = {"identity": {"run": "same"}, "model": {"w": torch.arange(500.0)}}


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "new/folder/last.pt"
    save_checkpoint(path, STATE)
    assert equal(load_checkpoint(path, identity={"run": "same"})["model"], STATE["model"])
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_a_failing_write_leaves_the_old_checkpoint_and_no_scraps(tmp_path, monkeypatch):
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


def refused(path, said):
    with pytest.raises(CheckpointError, match=said) as caught:
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
    refused(path, "is damaged")


def test_a_flipped_bit_in_a_weight_is_seen(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    raw = bytearray(path.read_bytes())
    raw[raw.index(STATE["model"]["w"].numpy().tobytes()) + 1001] ^= 1
    path.write_bytes(raw)
    refused(path, "is damaged")


def test_any_flipped_byte_is_seen_or_does_no_harm(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    for at in random.Random(0).sample(range(len(whole)), 60):
        raw = bytearray(whole)
        raw[at] ^= 0x40
        path.write_bytes(raw)
        try:
            state = load_checkpoint(path, identity={"run": "same"})
        except CheckpointError:
            continue
        assert equal(state["model"], STATE["model"])


@pytest.mark.parametrize(
    "state",
    [[1, 2], torch.zeros(3), {"model": {}}, {"format": 99, "identity": {"run": "same"}}],
    ids=["list", "tensor", "weights of something", "another version"],
)
def test_a_foreign_file_of_torch_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "last.pt")
    refused(tmp_path / "last.pt", "is not a checkpoint of this version")


@pytest.mark.parametrize("state", [{"identity": {"run": "other"}}, {}], ids=["other", "none"])
def test_another_identity_is_refused(tmp_path, state):
    save_checkpoint(tmp_path / "last.pt", state)
    refused(tmp_path / "last.pt", "is of another training")


@pytest.mark.parametrize("name", ["gone.pt", "."], ids=["missing", "folder"])
def test_no_file_is_refused(tmp_path, name):
    refused(tmp_path / name, "There is no checkpoint")


class Evil:
    """What a pickle can do when it is read: here, write a file."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return (open, (self.target, "w"))


@pytest.mark.parametrize("how", ["pickle", "torch", "old torch", "checkpoint"])
def test_nothing_is_unpickled(tmp_path, how):
    target, path = tmp_path / "owned", tmp_path / "last.pt"
    evil = {"format": 3, "identity": {"run": "same"}, "model": Evil(target)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    elif how == "checkpoint":
        save_checkpoint(path, evil)
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=how == "torch")
    refused(path, "is damaged")
    assert not target.exists()


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "last.pt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(tmp_path / "last.pt", "is damaged")
