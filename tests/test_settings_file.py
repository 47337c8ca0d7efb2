"""Settings files, written by a study and read by a training command."""

import pytest

from entrypoints.train import apply_settings_file
from supervision.experiment.settings_file import apply_settings, read_settings, write_settings
from supervision.models.vision.config import VisionConfig
from supervision.training.config import FitConfig


def test_each_setting_is_applied_to_the_configuration_that_has_it(tmp_path, capsys):
    path = tmp_path / "best.json"
    write_settings(path, "vision", {"lora_rank": 24, "beta": 0.05, "target": "log1p"})
    config, fit = apply_settings_file(
        str(path), "vision", [VisionConfig(views=6), FitConfig(epochs=3)]
    )
    assert config == VisionConfig(views=6, lora_rank=24, lora_alpha=32, target="log1p")
    assert fit == FitConfig(epochs=3, beta=0.05)
    assert "lora_rank 24, beta 0.05, target log1p" in capsys.readouterr().out
    assert apply_settings_file("", "vision", [config, fit]) == [config, fit]


def test_an_unknown_or_invalid_setting_is_named():
    with pytest.raises(ValueError, match="There is no setting colour"):
        apply_settings({"beta": 0.05, "colour": "red"}, VisionConfig(), FitConfig())
    with pytest.raises(ValueError, match="lora_rank must be 1 or more, got 0"):
        apply_settings({"lora_rank": 0}, VisionConfig(), FitConfig())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_family": "vision", "settings": 3}'])
def test_a_file_without_settings_is_refused(tmp_path, text):
    path = tmp_path / "best.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"best.json holds no settings of a study"):
        read_settings(path, "vision")


def test_settings_of_another_model_family_are_refused(tmp_path):
    path = tmp_path / "best.json"
    write_settings(path, "graph", {})
    with pytest.raises(ValueError, match="holds settings of graph, not of vision"):
        read_settings(path, "vision")


def test_settings_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / "best.json"
    path.write_text('{"pipeline": "vision", "settings": {"lora_rank": 24}}')
    assert read_settings(path, "vision") == {"lora_rank": 24}
