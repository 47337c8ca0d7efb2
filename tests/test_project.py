"""The MLproject file, the commands and their settings agree."""

import errno
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import typer
import yaml

from entrypoints import generate
from entrypoints.options import run_cli
from supervision.data.datasets.load import DATASET_NAMES
from supervision.experiment.run import identity_of
from supervision.experiment.spec import Experiment
from supervision.models.families import family_names, get_family

ROOT = Path(__file__).resolve().parents[1]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRY_POINTS = PROJECT["entry_points"]
PUBLIC_PARAMETERS = {
    "dataset", "data", "split", "weights", "epochs", "batch_size", "learning_rate", "lora_rank",
    "views", "limit", "seed", "device", "register",
}  # fmt: skip


def test_mlproject_and_the_page_of_options_are_up_to_date():
    """After a change of an option: ``python -m entrypoints.generate``."""
    assert (ROOT / "MLproject").read_text() == generate.mlproject()
    assert (ROOT / "docs" / "options.md").read_text() == generate.options_page()


def test_public_parameters_and_entry_points_exist():
    assert set(ENTRY_POINTS["train_dino"]["parameters"]) >= PUBLIC_PARAMETERS
    assert {"render", "train_alignn", "train_composition", "tune", "test"} <= set(ENTRY_POINTS)


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_entry_points_that_the_pages_name_exist(page):
    named = re.findall(r"mlflow run \. -e (\w+)", (ROOT / page).read_text())
    assert set(named) - {"NAME"} <= set(ENTRY_POINTS)


def test_every_setting_of_an_experiment_is_an_option():
    options = (ENTRY_POINTS[name]["parameters"] for name in ("train_dino", "train_composition"))
    assert set(Experiment().settings()) <= set().union(*options)


@pytest.mark.parametrize("name", list(ENTRY_POINTS))
def test_help_explains_every_option(name):
    _, command = generate.entry_point_commands()[name]
    assert command.help
    assert all(p.help for p in command.params if p.name != "help")


@pytest.mark.parametrize("name", [path.name for path in ROOT.glob("requirements*.txt")])
def test_requirements_are_pinned_with_a_reason(name):
    lines = (ROOT / name).read_text().splitlines()
    for line in filter(None, lines):
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+ +# .+", line), line


def test_conda_file_lists_the_requirements_files_only():
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    files = ["-r requirements.txt", "-r requirements-dev.txt"]
    assert conda["dependencies"][-1] == {"pip": files}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "famly"], "split 'famly' is not one of random, chemsys, family"),
        (
            ["--dataset", "nowhere"],
            "dataset 'nowhere' is unknown: give classics, 3dsc, jarvis_supercon",
        ),
        (["--epochs", "many"], "epochs must be a whole number or auto, got 'many'"),
        (["--weights", "dinov9"], "weights 'dinov9' is not one of auto, none, dinov3_vitb16"),
        (["--views", "99"], "views must be 1 to 18, got 99"),
        (["--limit", "-1"], "limit must be 0 or more, got -1"),
        (["--register", "perhaps"], "register must be true or false, got 'perhaps'"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else "",
)
def test_an_invalid_option_gives_one_sentence_exit_2_and_a_failed_run(
    options, message, own_store, capsys
):
    base = [] if "--weights" in options else ["--weights", "none"]
    module = importlib.import_module("entrypoints.train_dino")
    with pytest.raises(SystemExit) as stopped:
        typer.main.get_command(module.app)(base + options)
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"
    assert message in run.data.tags["failure"]


def test_a_full_disk_is_reported_with_advice(capsys):
    def copy():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here", None, "there")

    for write in (lambda: Path("/dev/full").write_text("a"), copy):
        with pytest.raises(SystemExit) as stopped:
            run_cli(write)
        assert stopped.value.code == 2
    written, copied = capsys.readouterr().err.splitlines()
    assert written.startswith(
        "error: No space is left. Free disk space and run the same command again"
    )
    assert copied.startswith("error: No space is left for there. Free disk space")


def test_no_file_has_an_absolute_path_of_this_machine():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".txt", ".yaml", ".toml", ".csv", ""}:
            text = path.read_text()
            assert sys.prefix not in text, name
            assert str(ROOT) not in text, name


def test_settings_that_may_change_on_resume_are_not_in_the_identity():
    settings = {"schedule": "cosine", "epochs": 9, "patience": 2, "device": "cpu", "beta": 0.1}
    assert identity_of(settings) == {"schedule": "cosine", "epochs": "9", "beta": "0.1"}
    assert identity_of(settings | {"schedule": "plateau"}) == {"schedule": "plateau", "beta": "0.1"}


@pytest.mark.parametrize("name", family_names())
def test_every_family_is_trained_by_a_module_of_its_own_or_by_train(name):
    module, _, argument = get_family(name).entry_point.partition(" ")
    assert argument in ("", name)
    assert (module == "train") == bool(argument)
    assert (ROOT / "entrypoints" / f"{module}.py").is_file()


@pytest.mark.parametrize("name", ["train_dino", "train_composition", "tune", "render"])
def test_the_help_of_dataset_names_every_data_set(name):
    _, command = generate.entry_point_commands()[name]
    (option,) = [p for p in command.params if p.name == "dataset"]
    assert all(dataset in option.help for dataset in DATASET_NAMES)
