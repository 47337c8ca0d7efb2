"""Networks that are saved without the pretrained weights that their training did not change."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from supervision.data.crystals import group_materials
from supervision.data.datasets import load_dataset
from supervision.models.families import load_predictor
from supervision.models.graph.backbone import create_backbone
from supervision.models.graph.config import GraphConfig
from supervision.models.graph.predictor import GraphPredictor
from supervision.models.vision.config import VisionConfig
from supervision.models.vision.predictor import VisionPredictor
from supervision.models.weights import (
    GraphWeights,
    ImageWeights,
    WeightsError,
    catalogue,
    get_weights,
)
from supervision.models.weights.sources import save_weights
from supervision.training.config import FitConfig

VISION = VisionConfig(views=1, head_epochs=1, batch_size=4)
GRAPH = GraphConfig(head_epochs=1, batch_size=4)
CONFIGS = {
    "vision, head": replace(VISION, adapt="linear"),
    "vision, LoRA on two of six blocks": replace(VISION, lora_blocks=2),
    "graph, head": replace(GRAPH, adapt="linear"),
    "graph, last layer": replace(GRAPH, trained_layers=1),
}
# the names of the backbone's tensors that training changes begin with one of these
CHANGED = {
    "vision, head": (),
    "vision, LoRA on two of six blocks": (
        "backbone.blocks.4.attn.qkv.weight",
        "backbone.blocks.5.attn.qkv.weight",
    ),
    "graph, head": (),
    "graph, last layer": ("backbone.gcn_layers.0.",),
}
SMALL = {"model": {"alignn_layers": 1, "gcn_layers": 1, "hidden_features": 16}}


class Source:
    """A source of a network's weights; ``error`` is raised instead where it is set."""

    error: Exception | None = None

    def __init__(self, network, config=""):
        self.network, self.config = network, config

    def describe(self):
        return "stand-in"

    def fetch(self, target):
        if self.error:
            raise self.error
        save_weights(dict(self.network.state_dict()), self.config, target)
        return {}


@pytest.fixture
def pretrained(own_cache, monkeypatch):
    """Sources of tiny weights in the catalogue, by model family, each with the family's name."""
    torch.manual_seed(7)
    found = {
        "vision": Source(timm.create_model("test_vit", img_size=160, num_classes=0)),
        "graph": Source(create_backbone("alignn_atomwise", "pure", SMALL), json.dumps(SMALL)),
    }
    entries = {
        "vision": ImageWeights("vision", "test_vit", "none", (found["vision"],)),
        "graph": GraphWeights("graph", "alignn_atomwise", "none", (found["graph"],)),
    }
    monkeypatch.setattr(catalogue, "WEIGHTS", catalogue.WEIGHTS | entries)
    return found


@pytest.fixture(scope="module")
def materials():
    return group_materials(load_dataset("classics").crystals[:10])


@pytest.fixture(scope="module")
def crystals(materials):
    return [m.crystals[0] for m in materials[6:]]


def new_predictor(config, weights=None):
    kind = VisionPredictor if isinstance(config, VisionConfig) else GraphPredictor
    fetched = get_weights(weights or kind.model_family, kind.model_family)
    fit_config = FitConfig(epochs=3, learning_rate=1e-3)
    return kind(config, fetched, fit_config, device="cpu", quiet=True)


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def precision(request, monkeypatch):
    monkeypatch.setattr("supervision.runtime.device.fast_bf16", lambda device: request.param)


@pytest.mark.usefixtures("precision", "pretrained")
@pytest.mark.parametrize("config", CONFIGS)
def test_a_model_without_pretrained_weights_predicts_as_the_whole_model(
    materials, crystals, tmp_path, config
):
    fitted = new_predictor(CONFIGS[config])
    fitted.fit(materials[:6], materials[6:])
    fitted.save(tmp_path / "whole")
    fitted.save(tmp_path / "small", without_pretrained=True)
    whole, small = (load_predictor(tmp_path / name) for name in ("whole", "small"))
    expected = fitted.predict(crystals)
    assert np.array_equal(whole.predict(crystals), expected)
    assert np.array_equal(small.predict(crystals), expected)

    saved = load_file(tmp_path / "small" / "model.safetensors")
    backbone = {name for name in saved if name.startswith("backbone.")}
    assert all(name.startswith(CHANGED[config]) for name in backbone)
    assert bool(backbone) is bool(CHANGED[config])
    everything = load_file(tmp_path / "whole" / "model.safetensors")
    assert {n for n in everything if not n.startswith("backbone.")} == set(saved) - backbone

    whole.save(tmp_path / "smaller", without_pretrained=True)  # its backbone may be in bfloat16
    assert set(load_file(tmp_path / "smaller" / "model.safetensors")) == set(saved)
    assert np.array_equal(load_predictor(tmp_path / "smaller").predict(crystals), expected)


@pytest.fixture(params=["vision", "graph"])
def saved(request, pretrained, tmp_path):
    """The source of an untrained model's weights, and its folder without them."""
    folder = tmp_path / "saved"
    config = VISION if request.param == "vision" else GRAPH
    new_predictor(config).save(folder, without_pretrained=True)
    return pretrained[request.param], folder


def test_without_pretrained_weights_a_model_is_small(saved):
    _, folder = saved
    state = load_file(folder / "model.safetensors")
    assert {name.partition(".")[0] for name in state} >= {"head", "feature_mean", "feature_std"}
    assert not any(name.startswith("backbone.") for name in state)
    assert json.loads((folder / "config.json").read_text())["backbone"] == "pretrained"


def forget(own_cache):
    for path in (own_cache / "weights").iterdir():
        path.unlink()


def test_pretrained_weights_of_another_sha256_are_refused(saved, own_cache):
    source, folder = saved
    ours = json.loads((folder / "config.json").read_text())["weights"]["sha256"]
    forget(own_cache)
    with torch.no_grad():
        next(source.network.parameters()).add_(1)
    with pytest.raises(WeightsError, match=rf"stand-in has sha256 .* sha256 {ours}: .*\.$") as why:
        load_predictor(folder)
    (record,) = (own_cache / "weights").glob("*.json")
    assert json.loads(record.read_text())["sha256"] in str(why.value)


def test_the_error_lists_the_sources_where_pretrained_weights_are_unavailable(saved, own_cache):
    source, folder = saved
    forget(own_cache)
    source.error = OSError("no route")
    with pytest.raises(WeightsError, match=r"is unavailable\. Tried: stand-in: no route"):
        load_predictor(folder)


@pytest.mark.parametrize("change", ["without the head", "with an unknown tensor"])
def test_a_file_that_lacks_other_tensors_or_has_unknown_ones_is_refused(saved, change):
    _, folder = saved
    state = load_file(folder / "model.safetensors")
    if change == "without the head":
        del state["feature_mean"]
    else:
        state["backbone.unknown"] = torch.zeros(1)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"feature_mean|backbone\.unknown"):
        load_predictor(folder)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("config", [VISION, GRAPH], ids=["vision", "graph"])
def test_a_model_from_random_weights_cannot_be_saved_without_them(tmp_path, config):
    with pytest.raises(ValueError, match=r"^weights=none: .*\.$"):
        new_predictor(config, "none").save(tmp_path / "saved", without_pretrained=True)
    assert not (tmp_path / "saved").exists()
