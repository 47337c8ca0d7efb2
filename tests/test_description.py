"""What MLflow's pages say of runs and models, and that its UI shows it."""

import ast
import re
import shlex
import shutil
import subprocess
import sys

import mlflow
import pytest
from described import check_links, description_of
from typer.testing import CliRunner

from benchmarks.servers import free_port, starting
from entrypoints import ensemble, render, train
from supervision.data.datasets import load_dataset
from supervision.models.families import get_family
from supervision.release.card import short
from supervision.release.folder import CARD_FILE
from supervision.runtime.version import ROOT
from tracking import runs
from tracking.description import describe_run, result_in
from tracking.serving.model_page import (
    MAX_DESCRIPTION,
    card,
    data_section,
    model_page,
    picture_section,
    version_page,
)

FAMILY = get_family("composition")
CARDS = sorted((ROOT / "released").rglob(CARD_FILE))


def command(app, *words):
    """The output of a command."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def run_of(output):
    """The id of the run that a command printed last."""
    return re.findall(r"Run (\w{32})", output)[-1]


def test_a_description_says_what_to_look_at_then_what_it_is_then_the_result(own_store):
    with runs.tracked_run("test"):
        mlflow.log_text("a", "plots/a b.csv")
        describe_run("A test.", "It is 1 K.", {"plots/a b.csv": "a"}, metrics=["mae"], more="Then.")
        run = runs.run_id()
    link = f"#/experiments/{mlflow.get_run(run).info.experiment_id}/runs/{run}/artifacts"
    assert description_of(run) == (
        f"**Look first** at [a]({link}/plots/a%20b.csv), `mae`.\nA test.\nIt is 1 K.\n\nThen."
    )


def test_one_function_describes_all_runs():
    """MLflow's name of the tag is written once."""
    files = [*ROOT.glob("tracking/**/*.py"), *ROOT.glob("entrypoints/*.py")]
    named = [file.name for file in files if "mlflow.note.content" in file.read_text()]
    assert named == ["description.py"]


@pytest.mark.parametrize(
    ("description", "result"),
    [
        ("A model.\nTest MAE 2 K.\n**Look first**", "Test MAE 2 K."),
        ("Test MAE 2 K (of an earlier version)\n\n| Tc |", "Test MAE 2 K (of an earlier version)"),
        ("**Look first** at `a`.\nA model without a test.", "A model without a test."),
        ("", ""),
    ],
)
def test_the_result_is_found_in_a_description(description, result):
    assert result_in(description) == result


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_card_of_a_released_model_fits_into_the_registry(path):
    text = short(path.read_text())
    for part in ("## Data", "## Errors", "MAE (K)", "MAE of the constant (K)", "## Limits"):
        assert part in text
    assert "sha256" not in text and text.startswith("Predicts")
    version = version_page(text + "x" * 400, "models:/supervision-composition/10")  # picture, link
    assert len(model_page(FAMILY, "champion-3dsc-novel", "10", version)) <= MAX_DESCRIPTION


def test_a_registered_model_shows_the_card_of_the_version_that_it_serves():
    version = version_page(card("A model.", "No data.", "No errors."), "models:/m/3")
    page = model_page(FAMILY, "champion", "3", version)
    assert "-m models:/m/3 " in version and "models:/m/3" not in page
    assert "-m models:/supervision-composition@champion " in page
    assert "# Version 3\n\nA model.\n\n## Data\n\nNo data." in page
    assert model_page(FAMILY, "a", "1", "of an earlier version").count("## Serve") == 1


def test_a_demonstration_and_other_sources_are_named_in_the_data():
    text = data_section(1280, "classics", ["supercon"])
    assert text.startswith("1,280 materials") and "other sources" in text
    assert "demonstration" in text and "Stanev" in text
    assert data_section(10, "mine.csv", []).endswith("validation and test:\n\n- mine.csv.")


@pytest.fixture
def trained(own_store):
    """The ids of two trained runs."""
    small = ("--limit", "80")
    first = command(train.all_families(), "constant", *small)
    return [
        run_of(first),
        run_of(command(train.all_families(), "composition", "--trees", "5", *small)),
    ]


@pytest.mark.slow
def test_a_training_and_an_ensemble_are_described_and_so_are_their_models(trained):
    words = (
        "Test MAE",
        "the constant median's",
        "**Look first**",
        "predictions.csv",
        "| bias (K) |",
    )
    what = "trained on 69 materials, split `random` of classics"
    assert "epoch" not in description_of(trained[1], what, *words)  # trees have none
    output = command(ensemble.app, "--runs", ",".join(trained), "--limit", "80")
    client = mlflow.MlflowClient()
    (combined,) = client.search_model_versions("name = 'supervision'")
    assert "Registered supervision version 1" in output
    description_of(combined.run_id, "Ensemble of constant-", "members.png", *words)
    for model in client.search_registered_models():
        (version,) = client.search_model_versions(f"name = '{model.name}'")
        pages = [(version, f"{model.name}/1"), (model, f"{model.name}@champion-classics-random")]
        for shown, uri in pages:
            check_links(shown.description)
            assert len(shown.description) <= MAX_DESCRIPTION
            assert picture_section(version.run_id) in shown.description
            assert f"mlflow models serve -m models:/{uri} " in shown.description
            for part in ("80 materials", "demonstration", "Test MAE", "## Limits", "/invocations"):
                assert part in shown.description


@pytest.mark.slow
def test_drawings_are_described(own_store):
    command(render.app, "--limit", "8")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    description_of(run.info.run_id, "Drawings of classics", "8 materials", "contact_sheet.png")


@pytest.fixture(scope="module")
def filled(store):
    """A store with a training and its model: its folder, its environment and the run's id."""
    folder, environment = store
    words = ["-m", "entrypoints.train", "composition", "--trees", "20"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, environment, run_of(done.stdout)


def code_of(text, language):
    """The code block of a language in a description."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return code


@pytest.mark.long
def test_the_code_on_the_page_of_a_model_serves_and_asks_it(filled):
    """pytest -m long tests/test_description.py"""
    folder, environment, _ = filled
    text = mlflow.MlflowClient().get_registered_model("supervision-composition").description
    port = str(free_port())
    serve, ask = (code_of(text, name).replace("5001", port) for name in ("bash", "python"))
    (folder / "crystal.cif").write_text(load_dataset("classics").crystals[0].cif)
    with starting(shlex.split(serve), int(port), environment, folder / "log"):
        done = subprocess.run(
            [sys.executable, "-c", ask], cwd=folder, capture_output=True, text=True, check=True
        )
    (answer,) = ast.literal_eval(done.stdout)
    assert answer["tc_kelvin"] > 0 and answer["error"] == ""


@pytest.mark.long
def test_the_ui_shows_what_to_look_at_the_picture_and_the_code(filled):
    """pytest -m long tests/test_description.py"""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    folder, environment, run = filled
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    ui = ["mlflow", "ui", "--port", str(port), "--workers", "1", "--backend-store-uri"]
    ui.append(environment["MLFLOW_TRACKING_URI"])
    experiment = mlflow.get_run(run).info.experiment_id
    model = "#/models/supervision-composition"
    with (
        starting(ui, port, environment, folder / "ui"),
        playwright.sync_playwright() as started,
    ):
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.goto(f"{address}/#/experiments/{experiment}/runs/{run}")
        link = page.get_by_role("link", name="predicted against measured Tc")
        link.wait_for()
        folded = page.get_by_text("Show more").bounding_box()
        assert link.bounding_box()["y"] < folded["y"], "it is not to be unfolded first"
        for path in (model, f"{model}/versions/1"):
            page.goto("about:blank")  # only the fragment differs
            page.goto(f"{address}/{path}")
            page.get_by_text("mlflow models serve -m").first.wait_for()
            picture = page.locator("img[src^='get-artifact']")
            picture.scroll_into_view_if_needed()
            page.wait_for_function(
                "document.querySelector(\"img[src^='get-artifact']\").naturalWidth > 300"
            )
            assert page.get_by_role("heading", name="Limits").count() == 1
