"""The complete graph predictor, with a small ALIGNN of random weights (no download)."""

import dataclasses
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import nn

from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.data.featurize import featurize, featurize_all
from supervision.models.families import load_predictor
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.data import GraphSamples
from supervision.models.graph.featurize import graph_featurizer
from supervision.models.graph.model import GraphRegressor
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.weights.catalogue import WEIGHTS
from supervision.models.weights.fetch import Fetched
from supervision.training.batches import RankShard
from supervision.training.callbacks import Callbacks
from supervision.training.checkpoint import Checkpoints, PartialResults
from supervision.training.config import FitConfig
from supervision.training.state import TrainState
from supervision.training.trainer import Trainer

SMALL = {"model": {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}}
ANGLE_BUDGET = 100  # the steps of these crystals have more
CONFIG = GraphConfig(head_epochs=2, batch_size=4)


def new_predictor(config=CONFIG, epochs=1, architecture="alignn_ff", head_rate=0.0):
    fit_config = FitConfig(epochs=epochs, learning_rate=1e-3, head_rate=head_rate)
    fetched = Fetched(WEIGHTS[architecture], None, "", "none", "", SMALL)
    return GraphPredictor(config, fetched, fit_config, device="cpu", quiet=True)


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals[:24])


@pytest.fixture(scope="module")
def crystals(materials):
    return [m.crystals[0] for m in materials[16:]]


@pytest.fixture(scope="module")
def fitted(materials):
    predictor = new_predictor()
    predictor.fit(materials[:16], materials[16:])
    return predictor


def cif(structure):
    return Crystal("a.cif", "", structure.to(fmt="cif"))


def test_a_saved_and_loaded_predictor_gives_the_same_predictions(fitted, crystals, tmp_path):
    fitted.save(tmp_path)
    loaded = load_predictor(tmp_path)
    np.testing.assert_allclose(loaded.predict(crystals), fitted.predict(crystals), atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_prediction_does_not_depend_on_the_other_crystals(fitted, crystals):
    together = fitted.predict(crystals)
    alone = [fitted.predict([c])[0] for c in reversed(crystals)]
    assert np.array_equal(together, alone[::-1])


def test_a_supercell_gives_the_same_prediction(fitted, crystals):
    for crystal in crystals[:4]:
        larger = cif(crystal.structure * (1, 2, 1))
        assert fitted.predict([larger])[0] == pytest.approx(fitted.predict([crystal])[0], rel=1e-4)


@pytest.mark.parametrize("backend", ["pure", "dgl"])
@pytest.mark.parametrize("architecture", ["alignn_ff", "mp_e_form_alignn"])
def test_each_architecture_trains_with_each_backend(materials, backend, architecture):
    config = dataclasses.replace(CONFIG, backend=backend)
    predictor = new_predictor(config, architecture=architecture)
    plain = backend == "dgl" or architecture == "mp_e_form_alignn"
    assert predictor.graphs.version == ("v1-unfolded" if plain else "v1")
    (start, record) = predictor.fit(materials[:16], materials[16:])
    assert start.epoch == 0 and record.epoch == 1
    assert np.isfinite(predictor.predict([materials[0].crystals[0]])).all()


@pytest.mark.parametrize(("head_rate", "rate"), [(0.0, 1e-3), (0.05, 0.05)])
def test_the_head_alone_is_trained_at_the_head_rate(materials, head_rate, rate):
    config = dataclasses.replace(CONFIG, adapt="linear")
    (record,) = new_predictor(config, head_rate=head_rate).fit(materials[:16], materials[16:])
    assert record.learning_rate == rate


def test_features_of_the_same_frozen_backbone_are_computed_once(materials, monkeypatch, tmp_path):
    config, read = dataclasses.replace(CONFIG, adapt="linear"), []
    features = GraphRegressor.features
    monkeypatch.setattr(
        GraphRegressor, "features", lambda self, batch: read.append(1) or features(self, batch)
    )

    def fit_head(config):
        read.clear()
        predictor = new_predictor(config)
        predictor.use_feature_cache(tmp_path)
        return [record.val_mae for record in predictor.fit(materials[:16], materials[16:])]

    history = fit_head(config)
    assert read
    assert fit_head(config) == history and not read
    assert fit_head(dataclasses.replace(config, dropout=0.4)) != history and not read
    assert fit_head(dataclasses.replace(config, seed=1)) != history and read


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_predictions_on_gpu_and_cpu_agree(fitted, crystals, tmp_path):
    fitted.save(tmp_path)
    loaded = load_predictor(tmp_path)
    assert loaded.device.type == "cuda"
    np.testing.assert_allclose(loaded.predict(crystals), fitted.predict(crystals), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("by", [1, 2], ids=["by one process", "by one of two"])
def test_features_computed_before_a_stop_are_not_computed_again(
    materials, crystals, tmp_path, monkeypatch, by
):
    """Except for a shard of a process group, which has every other batch."""
    monkeypatch.setattr(
        Checkpoints,
        "partial_results",
        lambda self, name: PartialResults(self.folder, name, self.identity, save_every=2),
    )
    read = []

    def run(folder, stop_at=10**9, resume=False):
        predictor = new_predictor(replace(CONFIG, angle_budget=1))  # one graph per batch
        features = predictor.model.features
        read.clear()

        def counted(batch):
            read.append(batch)
            if len(read) == stop_at:
                raise KeyboardInterrupt
            return features(batch)

        monkeypatch.setattr(predictor.model, "features", counted)
        checkpoints = Checkpoints(folder, {"run": "same"}, resume=resume)
        assert not checkpoints.has_train_state
        predictor.fit(materials[:16], materials[16:], checkpoints=checkpoints)
        return predictor.predict(crystals)

    whole, all_read = run(tmp_path / "whole"), len(read)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_at=8)
    saved = sorted(path.name for path in tmp_path.glob("features*"))
    assert saved == [f"features-1-{number}.shelf" for number in range(3)]
    (tmp_path / "features-1-2.shelf").write_bytes(b"torn")
    for path in tmp_path.glob("features*"):
        path.rename(path.with_name(path.name.replace("-1-", f"-{by}-")))
    assert np.array_equal(run(tmp_path, resume=True), whole)
    assert len(read) == all_read - (4 if by == 1 else 0)
    Checkpoints(tmp_path, {"run": "same"}, resume=True).finish()
    assert not list(tmp_path.glob("features*"))


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_run(materials, crystals, tmp_path):
    def run(folder, stop_at=99, resume=False):
        predictor = new_predictor(epochs=2)
        checkpoints = Checkpoints(tmp_path / folder, {"run": "same"}, resume=resume)

        def stop(record):
            if record.epoch == stop_at:
                raise KeyboardInterrupt

        try:
            predictor.fit(
                materials[:16], materials[16:], callbacks=Callbacks(stop), checkpoints=checkpoints
            )
        except KeyboardInterrupt:
            return None
        return predictor.predict(crystals)

    whole = run("whole")
    assert run("stopped", stop_at=1) is None
    assert np.array_equal(whole, run("stopped", resume=True))


# --- batches


def samples(materials, **changes):
    crystals = [c for m in materials for c in m.crystals]
    settings = {"batch_size": 4, "angle_budget": 10**9, "seed": 0} | changes
    targets = np.array([m.tc for m in materials]) ** 0.5
    return GraphSamples(
        materials, materials, targets, featurize_all(graph_featurizer(), crystals), **settings
    )


def test_each_material_is_once_in_an_epoch_with_its_target(materials):
    seen = {}
    for step in samples(materials).epoch_steps(1, RankShard()):
        for inputs, targets, ids in step:
            assert inputs.size == len(targets) == len(ids)
            seen |= dict(zip(ids, targets.tolist(), strict=True))
    assert seen == {m.id: pytest.approx(m.tc**0.5, rel=1e-6) for m in materials}


def test_micro_batches_respect_the_angle_budget_and_give_the_same_steps(materials):
    whole, parts = samples(materials), samples(materials, angle_budget=ANGLE_BUDGET)
    for one, other in zip(
        whole.epoch_steps(3, RankShard()), parts.epoch_steps(3, RankShard()), strict=True
    ):
        assert [id for _, _, ids in one for id in ids] == [id for _, _, ids in other for id in ids]
        assert len(one) == 1
        for inputs, _, ids in other:
            assert len(inputs.cosine) <= ANGLE_BUDGET or len(ids) == 1
    assert any(len(step) > 1 for step in parts.epoch_steps(3, RankShard()))


def test_a_step_in_micro_batches_gives_the_update_of_a_whole_step(materials, monkeypatch):
    monkeypatch.setattr("supervision.training.trainer.autocast", lambda device: nullcontext())
    # dropout is off because its masks would be drawn per micro-batch
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: x)
    moved = []
    for budget in (10**9, ANGLE_BUDGET):
        model = new_predictor().model.eval()
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        found = samples(materials, angle_budget=budget)
        Trainer(
            model, found.epoch_steps, lambda: {"mae": 1.0, "rmse": 1.0, "r2": 0.0},
            FitConfig(epochs=1, learning_rate=1e-3, average=0.0),
            device=torch.device("cpu"), quiet=True,
        ).train()  # fmt: skip
        moved.append(torch.cat([p.detach().flatten() for p in model.parameters()]) - before)
    assert torch.cosine_similarity(*moved, dim=0) > 0.999
    assert moved[0].norm() > 0.01


def test_an_epoch_is_reproducible_and_differs_from_the_next(materials):
    ids = [
        [
            id
            for step in samples(materials).epoch_steps(epoch, RankShard())
            for _, _, part in step
            for id in part
        ]
        for epoch in (1, 1, 2)
    ]
    assert ids[0] == ids[1] != ids[2]


# --- unusual crystals


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(Lattice.cubic(4), ["Am"], [[0, 0, 0]]), "no features for Am"),
        (Structure(Lattice.cubic(4), ["X"], [[0, 0, 0]]), "is not an element"),
        (Structure(Lattice.orthorhombic(4, 4, 0.2), ["Cu"], [[0, 0, 0]]), "angstrom thick"),
    ],
    ids=["beyond the table", "dummy", "thin"],
)
def test_an_unsupported_crystal_gives_a_one_sentence_error(fitted, structure, message):
    with pytest.raises(CrystalError, match=rf"^a\.cif: .*{message}.*\.$"):
        fitted.predict([cif(structure)])
    _, (reject,) = featurize(graph_featurizer(), [cif(structure)])
    assert message in reject.reason


@pytest.mark.parametrize(
    "structure",
    [
        Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]),
        Structure(Lattice.cubic(20), ["H"], [[0, 0, 0]]),
        Structure(Lattice.cubic(4), ["Pd", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Structure(Lattice.cubic(3), [{"Nb": 0.5, "Ti": 0.3}], [[0, 0, 0]]),
    ],
    ids=["one atom", "isolated", "deuterium", "disordered"],
)
def test_unusual_crystals_have_a_finite_prediction(fitted, structure):
    assert np.isfinite(fitted.predict([cif(structure)])).all()


LARGE = """
import resource, sys
import numpy as np, torch
from pymatgen.core import Lattice, Structure
from supervision.models.graph.build import build_graph
from supervision.models.graph.symmetry_folding import fold_graph
from supervision.models.graph.batch import collate
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.model import GraphRegressor
from supervision.models.weights.fetch import Fetched
from supervision.models.weights.catalogue import WEIGHTS
rng = np.random.default_rng(0)
sites = np.array([[i, j, k] for i in range(8) for j in range(8) for k in range(8)])[:500] / 8
sites += rng.normal(0, 0.01, (500, 3))
crystal = Structure(Lattice.cubic(22), rng.choice(["Nb", "Ti", "O"], 500), sites)
model = GraphRegressor(Fetched(WEIGHTS["alignn_ff"], None, "", "", ""), GraphConfig()).eval()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
batch = collate([fold_graph(build_graph(crystal))])
with torch.inference_mode():
    assert model(batch).isfinite().all()
print(len(batch.cosine), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""


@pytest.mark.slow
def test_five_hundred_atoms_without_symmetry_take_less_than_two_gib():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    angles, gigabytes = done.stdout.split()
    assert int(angles) > 50_000
    assert float(gigabytes) < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapt": "lora"}, "adapt 'lora'"),
        ({"backend": "abacus"}, "backend 'abacus'"),
        ({"angle_budget": 0}, "angle_budget"),
        ({"target": "cube"}, "'cube'"),
        ({"dropout": 1.0}, "dropout"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_named_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


@pytest.mark.parametrize(
    ("last", "moved"),
    [
        (0, {"gcn_layers", "alignn_layers", "atom_embedding", "edge_embedding", "angle_embedding"}),
        (1, {"gcn_layers"}),
        (2, {"gcn_layers", "alignn_layers"}),
    ],
)
def test_only_the_trained_layers_get_gradients(materials, last, moved, monkeypatch):
    reached = set()

    def step(self, *_):
        named = predictor.model.backbone.named_parameters()
        reached.update(name.split(".")[0] for name, p in named if p.grad is not None)

    predictor = new_predictor(dataclasses.replace(CONFIG, trained_layers=last))
    monkeypatch.setattr(TrainState, "step", step)
    predictor.fit(materials[:16], materials[16:])
    assert reached == moved


def test_more_trained_layers_than_the_model_has_are_refused():
    with pytest.raises(ValueError, match=r"trained_layers must be 0 \(all\) to 2, got 3"):
        new_predictor(dataclasses.replace(CONFIG, trained_layers=3))


def test_a_network_uses_the_given_number_of_neighbours(materials):
    predictor = new_predictor(dataclasses.replace(CONFIG, neighbours=6))
    assert predictor.graphs.version == "v1-6-0A"
    predictor.fit(materials[:16], materials[16:])
    (with_six,) = predictor.predict(materials[0].crystals[:1])
    (with_default,) = new_predictor().predict(materials[0].crystals[:1])
    assert np.isfinite(with_six) and with_six != with_default
