"""Settings as a file: what a study writes, a training takes."""

import pytest

from entrypoints.options import chosen
from supervision.experiment.settings_file import configured, read_settings, write_settings
from supervision.models.vision.config import VisionConfig
from supervision.training.state import FitConfig


def test_what_is_written_is_taken_by_whichever_configuration_has_it(tmp_path, capsys):
    path = tmp_path / "best.json"
    write_settings(path, "vision", {"lora_rank": 24, "beta": 0.05, "target": "log1p"})
    shape, way = chosen(str(path), "vision", VisionConfig(views=6), FitConfig(epochs=3))
    assert shape == VisionConfig(views=6, lora_rank=24, target="log1p")
    assert way == FitConfig(epochs=3, beta=0.05)
    assert "lora_rank 24, beta 0.05, target log1p" in capsys.readouterr().out
    assert chosen("", "vision", shape, way) == [shape, way]


def test_a_setting_that_there_is_not_or_that_is_refused_is_named():
    with pytest.raises(ValueError, match="There is no setting colour"):
        configured({"beta": 0.05, "colour": "red"}, VisionConfig(), FitConfig())
    with pytest.raises(ValueError, match="lora_rank must be 1 or more, got 0"):
        configured({"lora_rank": 0}, VisionConfig(), FitConfig())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_family": "vision", "settings": 3}'])
def test_a_file_that_is_something_else_is_refused(tmp_path, text):
    path = tmp_path / "best.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"best.json is no file of settings"):
        read_settings(path, "vision")


def test_settings_of_another_pipeline_are_refused(tmp_path):
    path = tmp_path / "best.json"
    write_settings(path, "graph", {})
    with pytest.raises(ValueError, match="holds settings of graph, not of vision"):
        read_settings(path, "vision")
