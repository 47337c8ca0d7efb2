"""The complete vision predictor, with a backbone of random weights (no download)."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from supervision.data.crystals import Crystal, group_materials
from supervision.data.datasets import load_dataset
from supervision.data.errors import CrystalError
from supervision.evaluation.prediction import predict_materials
from supervision.models.families import load_predictor
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.vision.views import select_views
from supervision.models.weights import get_weights
from supervision.training.batches import shuffled
from supervision.training.callbacks import Callbacks
from supervision.training.checkpoint import Checkpoints
from supervision.training.config import FitConfig

CONFIG = VisionConfig(views=2, head_epochs=2, batch_size=4)


def new_predictor(config=CONFIG, epochs=1):
    fit_config = FitConfig(epochs=epochs, learning_rate=1e-3)
    return VisionPredictor(config, get_weights("none"), fit_config, device="cpu", quiet=True)


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals[:14])


@pytest.fixture(scope="module")
def fitted(materials):
    predictor = new_predictor()
    predictor.fit(materials[:8], materials[8:])
    return predictor


@pytest.fixture(scope="module")
def crystals(materials):
    return [m.crystals[0] for m in materials[8:12]]


def test_a_saved_and_loaded_predictor_gives_the_same_predictions(fitted, crystals, tmp_path):
    fitted.save(tmp_path / "saved")
    loaded = load_predictor(tmp_path / "saved")
    np.testing.assert_allclose(loaded.predict(crystals), fitted.predict(crystals), atol=1e-5)
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_training_does_not_change_frozen_weights_and_all_are_float32(fitted):
    initial = new_predictor().model.backbone.state_dict()
    for name, tensor in fitted.model.backbone.state_dict().items():
        assert tensor.dtype == torch.float32, name
        assert "qkv.weight" in name or torch.equal(tensor, initial[name]), name


def test_a_saved_model_without_the_background_setting_reads_the_background(
    fitted, crystals, tmp_path
):
    fitted.save(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    assert config["config"].pop("background") is False
    path.write_text(json.dumps(config))
    old = load_predictor(tmp_path)
    assert old.config.background and old.model.background
    assert not np.array_equal(old.predict(crystals), fitted.predict(crystals))


def test_a_saved_model_names_its_initial_weights(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(
        fitted, "weights", {"name": "dinov2_vits14", "sha256": "ab" * 32, "config": {}}
    )
    fitted.save(tmp_path / "once")
    load_predictor(tmp_path / "once").save(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (
        tmp_path / "once" / "config.json"
    ).read_text()
    new_predictor().save(tmp_path / "random")
    assert '"name": "none"' in (tmp_path / "random" / "config.json").read_text()


def test_a_prediction_does_not_depend_on_the_other_crystals(fitted, crystals):
    together = fitted.predict(crystals)
    alone = [fitted.predict([c])[0] for c in reversed(crystals)]
    assert np.array_equal(together, alone[::-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_predictions_on_gpu_and_cpu_agree(fitted, crystals, tmp_path):
    fitted.save(tmp_path)
    loaded = load_predictor(tmp_path)
    assert loaded.device.type == "cuda"
    ours, theirs = fitted.predict(crystals), loaded.predict(crystals)
    np.testing.assert_allclose(theirs, ours, rtol=0.02, atol=0.05)  # bfloat16 if it is fast


@pytest.mark.parametrize(("views", "count"), [(1, 1), (2, 2), (6, 2)])
def test_validation_uses_at_most_two_of_the_views_of_the_model(materials, views, count):
    predictor = new_predictor(dataclasses.replace(CONFIG, views=views))
    images, _ = predictor.samples(materials[:8], materials[8:]).validation_samples()
    assert len(images) == count * len(materials[8:])
    assert {view for _, view in images} <= set(select_views(views))


def test_the_head_alone_is_trained_with_the_given_batch_size(materials, monkeypatch):
    sizes = []

    def record_batch_size(count, batch_size, *, seed, epoch):
        sizes.append(batch_size)
        return shuffled(count, batch_size, seed=seed, epoch=epoch)

    monkeypatch.setattr("supervision.training.two_stage.shuffled", record_batch_size)
    config = dataclasses.replace(CONFIG, adapt="linear", batch_size=3, head_batch_size=5)
    new_predictor(config).fit(materials[:8], materials[8:])
    assert set(sizes) == {3}


def test_an_unreadable_crystal_is_named(fitted, crystals):
    with pytest.raises(CrystalError, match=r"^broken\.cif: .*\.$"):
        fitted.predict([crystals[0], Crystal("broken.cif", "Nb", "data_x")])


def test_features_of_another_version_are_refused(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path)
    monkeypatch.setattr(VisionPredictor, "features_version", ("scene", 999))
    with pytest.raises(ValueError, match="version 999"):
        load_predictor(tmp_path)


def test_a_folder_without_a_predictor_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved predictor"):
        load_predictor(tmp_path)


def test_the_prediction_for_a_material_is_the_mean_over_its_structures(fitted, crystals):
    same = [dataclasses.replace(c, formula="Nb3Sn", tc=18.0) for c in crystals[:2]]
    (row,) = predict_materials(fitted, {"test": group_materials(same)})
    assert row.tc_pred == pytest.approx(fitted.predict(same).mean())


@pytest.mark.slow
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_run(materials, crystals, tmp_path):
    def run(folder, epochs, resume=False):
        predictor = new_predictor(epochs=2)
        checkpoints = Checkpoints(tmp_path / folder, {"run": "same"}, resume=resume)

        def stop(record):
            if record.epoch == epochs and not resume:
                raise KeyboardInterrupt

        try:
            predictor.fit(
                materials[:8], materials[8:], callbacks=Callbacks(stop), checkpoints=checkpoints
            )
        except KeyboardInterrupt:
            return None
        return predictor.predict(crystals)

    whole = run("whole", epochs=99)
    assert run("stopped", epochs=1) is None
    resumed = run("stopped", epochs=1, resume=True)
    assert np.array_equal(whole, resumed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapt": "none"}, "adapt 'none'"),
        ({"views": 19}, "got 19"),
        ({"lora_rank": 0}, "lora_rank"),
        ({"lora_blocks": -1}, "lora_blocks"),
        ({"target": "cube"}, "'cube'"),
        ({"lora_dropout": 1.0}, "lora_dropout"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_named_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


@pytest.mark.slow
def test_concurrent_predictions_equal_single_ones_and_change_no_weights(
    fitted, crystals, tmp_path, monkeypatch
):
    """Also with bfloat16: the weights are converted once, when the model is loaded."""
    monkeypatch.setattr("supervision.runtime.device.fast_bf16", lambda device: True)
    fitted.save(tmp_path / "saved")
    loaded = load_predictor(tmp_path / "saved")
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    assert {before[name].dtype for name in before if "blocks" in name} == {torch.bfloat16}
    alone = [loaded.predict([crystal]) for crystal in crystals]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda crystal: loaded.predict([crystal]), crystals * 6))
    assert together == alone * 6
    after = loaded.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (MemoryError(), "There is not enough memory to read it."),
        (RuntimeError("oneDNN failed"), r"It could not be read \(RuntimeError: oneDNN failed\)."),
        (AttributeError("x"), "It could not be read"),
    ],
    ids=["memory", "runtime", "attribute"],
)
def test_any_failure_names_the_crystal(fitted, crystals, monkeypatch, fault, message):
    def fail(*args):
        raise fault

    monkeypatch.setattr(fitted, "forward_crystal", fail)
    with pytest.raises(CrystalError, match=f"^{crystals[0].id}: {message}"):
        fitted.predict(crystals)
