"""End to end, as a user: train by ``mlflow run``, serve, send good and bad requests, predict."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from described import description_of
from projects import command_of
from pymatgen.io.vasp import Poscar
from servers import ask, rows, serving

from supervision.answer.answer import Answer
from supervision.answer.request import MAX_ROWS
from supervision.data.crystals import Crystal
from supervision.data.datasets import load_dataset
from supervision.models.families import load_predictor
from supervision.runtime.files import cache_dir
from tracking.evaluation_report import BASELINES
from tracking.serving.downloads import download

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
ALIAS = "champion-classics-random"
MODEL = f"models:/supervision-vision@{ALIAS}"
JSON = {"Content-Type": "application/json"}
TRAIN = {"dataset": "classics", "limit": 24, "epochs": 1, "views": 2, "weights": "none"}


@pytest.fixture(scope="module")
def trained(store):
    """The run of a small training by ``mlflow run``."""
    folder, environment = store
    done = subprocess.run(
        command_of("train_dino", **TRAIN), cwd=folder, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert len(runs) == 1, "mlflow run and the training must share one run"
    return runs[0]


@pytest.fixture(scope="module")
def server(store, trained, tmp_path_factory):
    """The champion, served."""
    with serving(MODEL, store[1], tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def crystals():
    """An ordered and a disordered one."""
    found = {c.id: c for c in load_dataset("classics").crystals}
    disordered = next(c for c in found.values() if not c.structure.is_ordered)
    ordered = next(c for c in found.values() if c.structure.is_ordered)
    return [ordered, disordered]


def test_the_run_is_finished_and_has_its_tags(trained):
    assert trained.info.status == "FINISHED"
    tags = trained.data.tags
    assert tags["mlflow.runName"] == "vision · classics · random · from scratch · lora"
    promised = {"dataset": "classics", "split": "random", "weights": "none",
                "pretrained": "false", "model_family": "vision"}  # fmt: skip
    assert promised.items() <= tags.items()
    words = ("Test MAE", "the constant median's", "**Look first**", "The epoch was chosen")
    description_of(trained.info.run_id, *words)
    assert tags["code_version"]
    assert {"split_hash", "dataset_hash"} <= set(trained.data.params)
    assert trained.data.params["epochs"] == "1"


def test_a_finished_run_leaves_no_checkpoints_in_the_cache(trained):
    """Their folder's name ends in the run's; test_resuming.py sees such a folder come and go."""
    assert not list((cache_dir() / "checkpoints").glob(f"*-{trained.info.run_id[:8]}"))
    assert "checkpoints" not in trained.data.tags


def test_the_metrics_others_rely_on_are_there(trained):
    metrics = trained.data.metrics
    test = {f"test_{m}{end}" for m in ("mae", "rmse", "r2") for end in ("", "_low", "_high")}
    assert test | {"train_loss", "val_mae", "val_rmse", "val_r2"} <= set(metrics)
    assert metrics["test_mae_low"] <= metrics["test_mae"] <= metrics["test_mae_high"]
    assert "null_constant_median_test_mae" in metrics
    assert "null_family_mean_test_mae" in metrics


def test_plots_and_tables_are_logged(trained):
    def files(folder=""):
        for item in mlflow.MlflowClient().list_artifacts(trained.info.run_id, folder):
            yield from files(item.path) if item.is_dir else [item.path]

    found = set(files())
    plots = {"parity", "residuals", "training_curve", "error_by_band", "contact_sheet"}
    tables = {"predictions.csv", "rejects.csv", "split.csv", "bands.csv", "comparison.csv"}
    assert {f"plots/{name}.png" for name in plots} | tables <= found


def test_what_is_left_out_of_the_training_is_logged(trained):
    params = trained.data.params
    assert (params["left_out_near_test"], params["left_out_near_val"]) == ("0", "0")
    assert params["extra_hash"] == ""


def test_predictions_give_the_logged_metrics(trained):
    path = download(f"runs:/{trained.info.run_id}/predictions.csv")
    table = pd.read_csv(path)
    own = ["material_id", "formula", "split", "tc", "tc_pred", "family", "group"]
    assert list(table.columns) == [*own, *BASELINES, "distance", "domain"]
    assert not table["material_id"].duplicated().any()
    test = table[table["split"] == "test"]
    error = (test["tc"] - test["tc_pred"]).abs().mean()
    assert error == pytest.approx(trained.data.metrics["test_mae"])


def test_the_champion_is_registered_and_described(store, trained):
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("supervision-vision", ALIAS)
    assert "Test MAE" in version.description and "## Limits" in version.description
    assert version.tags["weights_license"] == "none"
    assert "cif" in client.get_registered_model("supervision-vision").description
    model = mlflow.models.get_model_info(MODEL)
    assert model.signature.inputs.input_names() == ["cif", "formula", "id"]
    assert model.signature.outputs.input_names() == list(Answer("").fields())


def test_no_pickle_is_in_the_model(trained):
    folder = download(MODEL)
    pickled = [p for p in folder.rglob("*") if p.suffix in {".pkl", ".pt", ".pth", ".bin"}]
    assert not pickled
    assert list(folder.rglob("model.safetensors"))


def test_rest_predicts_the_number_of_the_training_code(server, crystals):
    status, answer = ask(server, rows(*[c.cif for c in crystals]))
    assert status == 200
    served = [row["tc_kelvin"] for row in answer["predictions"]]
    folder = download(MODEL)
    predictor = load_predictor(next(folder.rglob("model.safetensors")).parent)
    fresh = [Crystal("x", "", c.cif) for c in crystals]
    np.testing.assert_allclose(served, predictor.predict(fresh), atol=1e-4)


def test_rest_reads_a_poscar_as_its_cif(server, crystals):
    cif, poscar = crystals[0].cif, Poscar(crystals[0].structure).get_str(significant_figures=16)
    _, answer = ask(server, rows(cif, poscar))
    of_cif, of_poscar = answer["predictions"]
    assert of_poscar["formula"] == of_cif["formula"]
    assert of_poscar["tc_kelvin"] == pytest.approx(of_cif["tc_kelvin"], abs=1e-4)


def test_rest_predicts_the_number_in_predictions_csv(server, trained):
    path = download(f"runs:/{trained.info.run_id}/predictions.csv")
    table = pd.read_csv(path).set_index("material_id")["tc_pred"]
    crystal = next(c for c in load_dataset("classics").crystals if c.material_id in table.index)
    _, answer = ask(server, rows(crystal.cif))
    served = answer["predictions"][0]["tc_kelvin"]
    assert served == pytest.approx(table[crystal.material_id], abs=1e-4)


BAD = {
    "empty": ("", "The CIF text is empty"),
    "malformed": ("data_x\n_cell_length_a oops\n", "The CIF could not be read"),
    "prose": ("the crystal of my dreams", "The text is not a CIF file"),
    "binary blob": ("\x00\x01\x7fELF\x00", "The text is not a CIF file"),
    "null": (None, "The CIF text is empty"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_row_is_an_answer_with_one_clear_sentence_and_costs_no_other(server, crystals, name):
    text, message = BAD[name]
    good = crystals[0].cif
    status, answer = ask(server, rows(good, text, good))
    assert status == 200
    first, bad, last = answer["predictions"]
    assert first == last | {"name": "Row 0"} and first["tc_kelvin"] >= 0 and first["error"] == ""
    assert bad["tc_kelvin"] is None
    assert bad["error"].startswith(message) and bad["error"].endswith(".")


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_row_of_a_strict_request_is_a_400_that_names_it(server, crystals, name):
    text, message = BAD[name]
    body = rows(crystals[0].cif, text) | {"params": {"strict": True}}
    status, answer = ask(server, body)
    assert status == 400
    assert f"Row 1: {message}" in answer["message"]
    assert answer["message"].rstrip().endswith(".")
    assert "Traceback" not in json.dumps(answer)
    assert not answer.get("stack_trace")
    assert ask(server, rows(crystals[0].cif))[0] == 200, "the server must still answer"


def test_a_table_without_a_column_of_crystals_is_a_400(server):
    status, answer = ask(server, {"dataframe_split": {"columns": ["cfi"], "data": [["x"]]}})
    assert status == 400
    assert "neither a column 'cif' nor 'formula'" in answer["message"]


def test_a_request_of_too_many_rows_is_a_400(server):
    status, answer = ask(server, rows(*["x"] * (MAX_ROWS + 1)))
    assert status == 400
    assert "The input has 257 rows, more than 256; send it in several requests." in str(answer)
    assert ask(server, rows(*["x"] * MAX_ROWS))[0] == 200


# What MLflow's own server answers, as docs/serving.md says it: where one of these fails, a newer
# MLflow has changed, and so should the page.
OF_MLFLOW = {
    "no content type": ({}, rows("x"), 500, "Internal Server Error"),
    "100,000 brackets": (JSON, b"[" * 100_000, 500, "Internal Server Error"),
    "5,000 digits": (JSON, b'{"dataframe_records": [%s]}' % (b"1" * 5000), 500, "Internal Server"),
    "no CSV": ({"Content-Type": "text/csv"}, b"", 400, '"stack_trace": "Traceback'),
    "a bad row": (JSON, rows("x") | {"params": {"strict": True}}, 400, "Failed to predict data '"),
    "a wrong param": (JSON, rows("x") | {"params": {"stric": True}}, 200, '{"predictions": [{"'),
}  # fmt: skip


@pytest.mark.parametrize("name", list(OF_MLFLOW))
def test_what_mlflows_own_server_answers_is_what_the_page_says(server, name):
    headers, body, status, said = OF_MLFLOW[name]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = requests.post(f"{server.url}/invocations", data=data, headers=headers, timeout=60)
    assert answer.status_code == status
    assert said in answer.text


def test_mlflows_own_server_has_a_page_of_its_interface(server):
    assert "Swagger UI" in requests.get(f"{server.url}/docs", timeout=60).text


def test_an_answer_has_the_id_that_the_row_was_given(server, crystals):
    body = {"dataframe_records": [{"cif": c.cif, "id": c.formula} for c in crystals]}
    _, answer = ask(server, body)
    assert [row["name"] for row in answer["predictions"]] == [c.formula for c in crystals]
    assert [row["domain"] for row in answer["predictions"]] != ["", ""]


def test_ids_may_be_numbers_or_missing_and_what_is_no_text_costs_no_other(server, crystals):
    good = crystals[0].cif
    data = [[good, 7], [good, None], [["a", "b"], "listed"], [{"a": 1}, "dictionary"]]
    status, answer = ask(server, {"dataframe_split": {"columns": ["cif", "id"], "data": data}})
    assert status == 200, answer
    rows = answer["predictions"]
    assert [row["name"] for row in rows] == ["7", "Row 1", "listed", "dictionary"]
    assert [row["error"] == "" for row in rows] == [True, True, False, False]


@pytest.mark.parametrize("body", [b"\x00\xff\x00binary", b"{broken"], ids=["blob", "broken json"])
def test_a_body_that_is_not_json_is_a_400(server, crystals, body):
    status, answer = ask(server, body)
    assert status == 400
    assert "Traceback" not in json.dumps(answer)
    assert ask(server, rows(crystals[0].cif))[0] == 200


def test_predict_prints_a_table_with_a_row_for_a_bad_file(store, trained, crystals, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "a.cif").write_text(crystals[0].cif)
    (tmp_path / "more" / "b.cif").write_text(crystals[1].cif)
    (tmp_path / "more" / "bad.cif").write_bytes(b"\x00\xff\x00")
    command = [sys.executable, "-m", "entrypoints.predict", str(tmp_path / "a.cif")]
    command += [str(tmp_path / "more"), "--model", MODEL, "--out", str(tmp_path / "out.csv")]
    done = subprocess.run(
        command, cwd=ROOT, env=store[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(tmp_path / "out.csv")
    assert [Path(f).name for f in table["file"]] == ["a.cif", "b.cif", "bad.cif"]
    assert table["tc_kelvin"].notna().tolist() == [True, True, False]
    assert "not a CIF file" in table["problem"][2]
    assert "a.cif" in done.stdout
    assert "vision · classics · random · from scratch · lora: Test MAE" in done.stdout, (
        "it names the model"
    )


def test_predict_fails_without_a_good_file(store, trained, tmp_path):
    (tmp_path / "bad.cif").write_text("no crystal")
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.predict", str(tmp_path), "--model", MODEL], cwd=ROOT,
        env=store[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "not a CIF file" in " ".join(done.stdout.split())  # lines are wrapped
    assert "error: No structure could be predicted; the lines above say why." in done.stderr


def test_predict_runs_the_code_of_the_model_not_of_the_checkout(store, trained, crystals, tmp_path):
    """Edited code does not change the predictions of a model that was logged before."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "mlruns", "__pycache__"))
    edited = clone / "supervision" / "training" / "target.py"
    edited.write_text(
        edited.read_text() + "\nTargetTransform.decode = lambda self, x: x * 0 + 77\n"
    )
    asked = tmp_path / "asked"
    asked.mkdir()
    (asked / "A.CIF").write_text(crystals[1].cif)
    (asked / "b.cif").symlink_to("nowhere")
    command = [sys.executable, "-m", "entrypoints.predict", str(asked), "--model", MODEL]
    done = subprocess.run(
        [*command, "--out", "out.csv"], cwd=clone, env=store[1], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_csv(clone / "out.csv")
    assert [Path(f).name for f in table["file"]] == ["A.CIF", "b.cif"]
    folder = download(MODEL)
    predictor = load_predictor(next(folder.rglob("model.safetensors")).parent)
    (expected,) = predictor.predict([crystals[1]])
    assert table["tc_kelvin"][0] == pytest.approx(expected, abs=1e-4)
    assert "No such file" in table["problem"][1]


def test_what_predict_downloads_is_deleted_at_its_end(store, trained, crystals, tmp_path):
    (tmp_path / "a.cif").write_text(crystals[1].cif)
    model, temporary = f"runs:/{trained.info.run_id}/model", tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.predict", str(tmp_path / "a.cif"), "--model", model],
        cwd=ROOT, env=store[1] | {"TMPDIR": str(temporary)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list(temporary.rglob("*.safetensors"))


def test_the_model_stores_its_provenance(trained):
    path = next(download(MODEL).rglob("made_from.json"))
    provenance = json.loads(path.read_text())
    assert provenance["run_id"] == trained.info.run_id
    for name in ("dataset_hash", "split_hash"):
        assert provenance[name] == trained.data.params[name]
    assert provenance["code_version"] == trained.data.tags["code_version"]
    size = {name: int(trained.data.params[name]) for name in ("parameters", "trained_parameters")}
    assert 0 < size["trained_parameters"] < size["parameters"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("alignn", {"weights": "none", "epochs": 1}, id="graph"),
        pytest.param("composition", {"trees": 5}, id="composition"),
    ],
)
def test_the_other_model_families_train_register_and_serve(
    store, trained, crystals, tmp_path, name, settings
):
    """With the same commands; a bad CIF is an answer with its error."""
    settings |= {"dataset": "classics", "limit": 24}
    done = subprocess.run(
        command_of(f"train_{name}", **settings), cwd=store[0], env=store[1], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1)
    assert run.info.status == "FINISHED"
    model_family = run.data.tags["model_family"]
    with serving(
        f"models:/supervision-{model_family}@{ALIAS}", store[1], tmp_path / "log"
    ) as server:
        status, answer = ask(server, rows(*(c.cif for c in crystals)))
        assert status == 200
        tc = [row["tc_kelvin"] for row in answer["predictions"]]
        assert len(tc) == 2 and np.isfinite(tc).all()
        status, answer = ask(server, rows(crystals[0].cif, "data_x"))
        assert status == 200
        assert "The CIF could not be read" in answer["predictions"][1]["error"]


def test_ctrl_c_ends_the_run_as_killed_with_its_metrics(store, trained):
    folder, environment = store
    ended_before = {
        run.info.run_id
        for run in mlflow.search_runs(search_all_experiments=True, output_format="list")
    }
    endless = {"epochs": 500, "patience": 500, "checkpoint_dir": folder / "interrupted"}
    process = subprocess.Popen(
        command_of("train_dino", **(TRAIN | endless)), cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        run = None
        for _ in range(600):
            newest = mlflow.search_runs(
                search_all_experiments=True, output_format="list", max_results=1
            )[0]
            if newest.info.run_id not in ended_before and "val_mae" in newest.data.metrics:
                run = newest
                break
            time.sleep(0.5)
        assert run is not None, "no epoch was logged"
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    for _ in range(60):  # mlflow run ends before the training does
        ended = mlflow.get_run(run.info.run_id)
        if ended.info.status == "KILLED":
            break
        time.sleep(0.5)
    assert ended.info.status == "KILLED"
    assert "val_mae" in ended.data.metrics
