"""The project file, the command lines and the settings behind them say the same."""

import dataclasses
import errno
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import typer
import yaml

from entrypoints.options import parse_auto, parse_bool, run_cli
from supervision.experiment.run import identity_of
from supervision.experiment.spec import Experiment
from supervision.models.vision.config import VisionConfig
from supervision.training.state import FitConfig

ROOT = Path(__file__).resolve().parents[1]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRY_POINTS = PROJECT["entry_points"]
PROMISED = {
    "dataset", "data", "split", "weights", "epochs", "batch_size", "learning_rate", "lora_rank",
    "views", "limit", "seed", "device", "register",
}  # fmt: skip


def options_of(name):
    main = importlib.import_module(f"entrypoints.{name}").main
    return inspect.signature(main).parameters


@pytest.mark.parametrize("name", list(ENTRY_POINTS))
def test_project_file_and_command_line_agree(name):
    parameters = ENTRY_POINTS[name].get("parameters", {})
    options = options_of(name)
    assert set(parameters) == set(options)
    for key, parameter in parameters.items():
        assert str(parameter["default"]) == str(options[key].default), key
        flag = "--" + key.replace("_", "-")
        assert f"{flag} {{{key}}}" in ENTRY_POINTS[name]["command"]


def test_the_names_others_rely_on_are_there():
    assert set(ENTRY_POINTS["train_dino"]["parameters"]) >= PROMISED


def test_defaults_of_options_are_the_defaults_of_the_settings():
    options = options_of("train_dino")
    defaults = {
        field.name: field.default
        for kind in (Experiment, VisionConfig, FitConfig)
        for field in dataclasses.fields(kind)
    }
    for name, option in options.items():
        if name in defaults and option.default != "auto":
            assert str(option.default).lower() == str(defaults[name]).lower(), name


def test_every_setting_of_an_experiment_is_an_option():
    assert set(Experiment().settings()) <= set(options_of("train_dino"))


@pytest.mark.parametrize("name", [n for n in ENTRY_POINTS if n != "test"])
def test_help_explains_every_option(name):
    app = importlib.import_module(f"entrypoints.{name}").app
    command = typer.main.get_command(app)
    assert all(p.help for p in command.params if p.name not in ("help",))


def test_requirements_are_pinned_with_a_reason():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    for line in filter(None, lines):
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+ +# .+", line), line


def test_conda_file_lists_the_requirements_and_never_the_folder():
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert conda["dependencies"][-1] == {"pip": ["-r requirements.txt"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "famly"], "split 'famly' is not one of random, chemsys, family"),
        (["--dataset", "nowhere"], "dataset 'nowhere' is none of classics, 3dsc, jarvis_supercon"),
        (["--epochs", "many"], "epochs must be a number or auto, got 'many'"),
        (["--weights", "dinov9"], "weights 'dinov9' is not one of auto, none, dinov3_vitb16"),
        (["--views", "99"], "views must be 1 to 18, got 99"),
        (["--limit", "-1"], "limit must be 0 or more, got -1"),
        (["--register", "perhaps"], "register must be true or false, got 'perhaps'"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_exit_2_and_a_failed_run(options, message, own_store, capsys):
    base = [] if "--weights" in options else ["--weights", "none"]
    module = importlib.import_module("entrypoints.train_dino")
    with pytest.raises(SystemExit) as stopped:
        typer.main.get_command(module.app)(base + options)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ") and message in said
    (run,) = mlflow.search_runs(output_format="list")
    assert run.info.status == "FAILED"
    assert message in run.data.tags["failure"]


def test_a_full_disk_is_said_with_what_to_do(capsys):
    def copy():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here", None, "there")

    for write in (lambda: Path("/dev/full").write_text("a"), copy):
        with pytest.raises(SystemExit) as stopped:
            run_cli(write)
        assert stopped.value.code == 2
    written, copied = capsys.readouterr().err.splitlines()
    assert written.startswith("error: No space is left. Make room and give the same command again")
    assert copied.startswith("error: No space is left for there. Make room")


def test_given_and_truth():
    assert parse_auto("auto", 3, "epochs") == 3
    assert parse_auto("5e-4", 1e-3, "learning_rate") == 5e-4
    assert parse_bool("True", "register") is True
    assert parse_bool("false", "register") is False


def test_nothing_of_this_machine_is_in_the_project():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".txt", ".yaml", ".toml", ".csv", ""}:
            text = path.read_text()
            assert sys.prefix not in text, name
            assert str(ROOT) not in text, name


def test_what_a_training_can_be_carried_on_without():
    told = {"schedule": "cosine", "epochs": 9, "patience": 2, "device": "cpu", "beta": 0.1}
    assert identity_of(told) == {"schedule": "cosine", "epochs": "9", "beta": "0.1"}
    assert identity_of(told | {"schedule": "plateau"}) == {"schedule": "plateau", "beta": "0.1"}
