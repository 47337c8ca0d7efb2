"""``predict``: which model answers, any content of folders, batches, progress, the CSV file."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from example_structures import nb3sn
from logged import log_untrained
from projects import ROOT
from versions import candidate, register

import supervision
from entrypoints import predict as entry_point
from entrypoints.predict import check_out
from supervision.answer.answer import Answer
from supervision.answer.loaded import DEMONSTRATION, LoadedModel
from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError
from supervision.data.quantity import TC
from supervision.data.structure_inputs import StructureInput
from supervision.data.table import load_cif
from supervision.runtime.text import csv_cell, printable
from tracking.serving import model_names

CRYSTAL = load_dataset("classics").crystals[0].cif


@pytest.fixture(scope="module")
def model(store, tmp_path_factory):
    return log_untrained("composition", tmp_path_factory.mktemp("model") / "predictor")


def predict(store, model, *arguments):
    command = [sys.executable, "-m", "entrypoints.predict", *map(str, arguments)]
    return subprocess.run(
        [*command, "--model", model], cwd=ROOT, env=store[1], capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def predict_here(monkeypatch, capsys, ask, paths, out=None, dataset="", **options):
    """``predict`` in this process with a model that answers by ``ask``; what it prints."""
    model = LoadedModel("a model", "", "", dataset, ask)
    monkeypatch.setattr(supervision, "load", lambda name, *, fast: model)
    entry_point.main(paths, out=out, **options)
    return capsys.readouterr()


def constant(inputs):
    """An interval of 5 K, so that a temperature has one decimal."""
    return [Answer(g.name, tc_kelvin=9.25, tc_lower=7, tc_upper=12) for g in inputs]


# --- folders


@pytest.mark.slow
def test_a_hostile_folder_costs_no_good_file(store, model, tmp_path):
    folder, out = tmp_path / "files", tmp_path / "out.csv"
    folder.mkdir()
    os.mkfifo(folder / "pipe.cif")
    (folder / "link.cif").symlink_to(folder / "pipe.cif")
    (folder / "zero.cif").symlink_to("/dev/zero")
    (folder / "loop.cif").symlink_to(folder / "loop.cif")
    (folder / "folder.cif").mkdir()
    os.mkfifo(folder / "POSCAR.pipe")
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "=HYPERLINK(1).cif").write_text(CRYSTAL)
    (folder / "red\x1b[31m\nrow.cif").write_text("no crystal")
    (folder / os.fsdecode(b"caf\xe9.cif")).write_text(CRYSTAL)
    (folder / "good.cif").write_text(CRYSTAL)
    done = predict(store, model, folder, "--out", out)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "\x1b" not in done.stdout
    with out.open(newline="") as file:
        rows = {row["file"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    read = {name for name, row in rows.items() if row["tc_kelvin"]}
    assert read == {"=HYPERLINK(1).cif", "good.cif", "caf\\udce9.cif"}
    for name in ("pipe.cif", "link.cif", "zero.cif", "POSCAR.pipe"):
        assert (
            rows[name]["problem"] == "It is not a regular file, but a pipe, a device or a socket."
        )
    assert "red\\x1b[31m\\nrow.cif" in rows
    assert "loop.cif" in rows


@pytest.mark.slow
def test_a_named_pipe_is_a_row_with_its_reason(store, model, tmp_path):
    os.mkfifo(tmp_path / "pipe.cif")
    done = predict(store, model, tmp_path / "pipe.cif")
    assert done.returncode == 2
    assert "It is not a regular file" in " ".join(done.stdout.split())  # lines are wrapped


def test_a_poscar_in_a_folder_is_read_and_other_files_are_listed(monkeypatch, capsys, tmp_path):
    nb3sn().to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    (tmp_path / "a.cif").write_text(CRYSTAL)
    (tmp_path / "notes.txt").write_text("")
    said = predict_here(monkeypatch, capsys, constant, [tmp_path])
    assert "Skipped 1 file that is not a structure: notes.txt" in said.out
    (row,) = [line for line in said.out.splitlines() if "POSCAR" in line]
    assert "9.2 " in row


def test_a_named_file_is_not_read_as_what_it_is_not(monkeypatch, capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("prose")
    with pytest.raises(SystemExit):
        predict_here(monkeypatch, capsys, constant, [tmp_path / "notes.txt"])
    said = " ".join(capsys.readouterr().out.split())  # wrapped to the width of the table
    assert "The text is not a CIF file: it has no data_ block" in said


# --- many structures


def hundred(folder, bad=()):
    """A hundred files, some of them bad."""
    for n in range(100):
        text = "data_x" if n in bad else CRYSTAL.replace("data_", f"data_{n}_", 1)
        (folder / f"{n:03d}.cif").write_text(text)
    return [folder]


def test_many_files_are_few_requests(monkeypatch, capsys, tmp_path):
    requests = []

    def ask(inputs):
        requests.append(len(inputs))
        return constant(inputs)

    said = predict_here(monkeypatch, capsys, ask, hundred(tmp_path))
    assert said.out.count("9.2 ") == 100
    assert requests == [16] * 6 + [4]


@pytest.mark.slow
def test_a_folder_is_predicted_without_lines_of_mlflow(store, model, tmp_path):
    done = predict(store, model, *hundred(tmp_path, bad=(7,)))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Downloading" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert (
        sum(".cif" in line and "data" not in line for line in lines) == 101
    )  # and the error of one
    assert max(map(len, lines[1:])) <= 100
    assert done.stderr.splitlines() == []


def test_rows_are_in_the_file_as_soon_as_they_are_predicted(monkeypatch, capsys, tmp_path):
    out, seen = tmp_path / "out.csv", []

    def ask(inputs):
        seen.append(len(pd.read_csv(out)))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return constant(inputs)

    with pytest.raises(SystemExit) as stopped:
        predict_here(monkeypatch, capsys, ask, hundred(tmp_path, bad=(5,)), out=out)
    assert stopped.value.code == 130
    assert seen == [0, 16, 32]
    table = pd.read_csv(out)
    assert list(table.columns) == entry_point.prediction_columns(TC)
    assert len(table) == 32
    assert out.read_text().endswith("\n")


def test_the_highest_tc_comes_first_with_rank_and_what_failed_last(monkeypatch, capsys, tmp_path):
    def ask(inputs):
        return [Answer(g.name, tc_kelvin=float(n)) for n, g in enumerate(inputs)]

    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.cif").write_text(CRYSTAL)
    (tmp_path / "bad.cif").symlink_to("nowhere")
    out = predict_here(monkeypatch, capsys, ask, [tmp_path], rank=True).out
    shown = [line.partition(".cif")[0][-1] for line in out.splitlines() if ".cif" in line]
    assert shown[:4] == ["c", "b", "a", "d"]


def test_json_is_all_that_is_printed(monkeypatch, capsys, tmp_path):
    (tmp_path / "a.cif").write_text(CRYSTAL)
    (tmp_path / "bad.cif").symlink_to("nowhere")
    said = predict_here(monkeypatch, capsys, constant, [tmp_path], as_json=True)
    good, bad = json.loads(said.out)
    assert good["tc_kelvin"] == 9.25 and good["error"] == ""
    assert bad["tc_kelvin"] is None and "No such file" in bad["error"]


def test_a_crystal_is_read_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(CRYSTAL))
    given = []

    def ask(inputs):
        given.extend(inputs)
        return constant(inputs)

    predict_here(monkeypatch, capsys, ask, [Path("-")])
    assert given == [StructureInput("stdin", CRYSTAL)]


def test_standard_input_may_be_a_poscar(monkeypatch, capsys):
    poscar = "Nb\n1.0\n3.3 0 0\n0 3.3 0\n0 0 3.3\nNb\n2\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(poscar))
    given = []

    def ask(inputs):
        given.extend(inputs)
        return constant(inputs)

    predict_here(monkeypatch, capsys, ask, [Path("-")])
    (found,) = given
    assert found.name == "stdin" and found.cif.startswith("data_")


def test_formulas_are_given_by_name_and_in_a_table(monkeypatch, capsys, tmp_path):
    (tmp_path / "table.csv").write_text("formula\nNb3Sn\nMgB2\n")
    given = []

    def ask(inputs):
        given.extend(inputs)
        return constant(inputs)

    predict_here(monkeypatch, capsys, ask, [tmp_path / "table.csv"], formula=["NbN"])
    assert [(g.cif, g.formula) for g in given] == [("", "NbN"), ("", "Nb3Sn"), ("", "MgB2")]


def test_nothing_to_predict_says_what_to_give(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        predict_here(monkeypatch, capsys, constant, [])
    assert stopped.value.code == 2
    assert "Nothing to predict: name structure files, or --formula" in capsys.readouterr().err


def test_rows_come_in_the_order_of_the_structures():
    inputs = [StructureInput(str(n), CRYSTAL) for n in range(40)]
    batches = list(LoadedModel("", "", "", "", constant).predict_inputs(inputs))
    assert [len(batch) for batch in batches] == [16, 16, 8]
    assert [row.name for batch in batches for row in batch] == [str(n) for n in range(40)]


# --- which model answers


def test_the_best_champion_of_all_families_answers(own_store, no_released):
    """And not the vision model whatever else is registered."""
    register("supervision-vision", 1, candidate("classics", 9.5))
    choice = model_names.choose_model()
    assert choice.location == "models:/supervision-vision/1"
    register("supervision-composition", 2, candidate("3dsc", 3.6))
    choice = model_names.choose_model("")
    assert choice.location == "models:/supervision-composition/1"
    assert "3dsc" in choice.reason


def test_a_registered_name_is_its_champion_or_its_best_version(own_store):
    name = "supervision-graph"
    for number, mae in enumerate((8.0, 5.0, 6.0), start=1):
        register(name, number, candidate(f"set{number}", mae), champion=False)
    assert model_names.choose_model(name).location == f"models:/{name}/2"
    assert "no champion" in model_names.choose_model(name).reason
    register(name, 4, candidate("set4", 7.0))
    assert model_names.choose_model(name).location == f"models:/{name}@champion"


def test_a_uri_and_a_folder_are_taken_as_they_are(tmp_path):
    for location in ("models:/a/1", "runs:/abc/model", str(tmp_path)):
        assert model_names.choose_model(location) == (location, "")


@pytest.mark.parametrize(("dataset", "said"), [("classics", True), ("3dsc", False)])
def test_a_demonstration_is_named_as_one(monkeypatch, capsys, tmp_path, dataset, said):
    (tmp_path / "a.cif").write_text(CRYSTAL)
    printed = predict_here(monkeypatch, capsys, constant, [tmp_path], dataset=dataset).out
    assert (DEMONSTRATION in printed) is said


@pytest.mark.slow
def test_predict_on_an_empty_store_says_what_to_do(tmp_path):
    (tmp_path / "a.cif").write_text(CRYSTAL)
    (tmp_path / "released").mkdir()  # found before that of the checkout
    (tmp_path / "released" / "__init__.py").touch()
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/none.db", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.predict", "a.cif"], cwd=tmp_path,
        env=os.environ | store, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: No model is registered in sqlite:///")
    assert len(done.stderr.splitlines()) == 1


# --- the CSV file


def test_a_file_that_cannot_be_written_is_an_error_before_anything_is_predicted(tmp_path):
    with pytest.raises(DatasetError, match="cannot be written to /sys"):
        check_out(Path("/sys/kernel/out.csv"))
    os.mkfifo(tmp_path / "out.csv")
    with pytest.raises(DatasetError, match="not a table of predictions"):
        check_out(tmp_path / "out.csv")


def test_predict_overwrites_its_own_table_and_no_other(tmp_path):
    (tmp_path / "tc.csv").write_text("cif,tc\nnb.cif,9.2\n")
    for header in ("file,tc_kelvin,problem", ",".join(entry_point.prediction_columns(TC))):
        (tmp_path / "own.csv").write_text(f"{header}\nnb.cif,9.2,\n")
        check_out(tmp_path / "own.csv")
    check_out(tmp_path / "new.csv")
    with pytest.raises(DatasetError, match="is not a table of predictions"):
        check_out(tmp_path / "tc.csv")
    with pytest.raises(DatasetError, match="There is no folder"):
        check_out(tmp_path / "nowhere" / "new.csv")


def test_a_device_is_never_read():
    with pytest.raises(ValueError, match="not a regular file"):
        load_cif(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["a.cif", "1.5", "Nb3Sn", "", "a=b"])
def test_a_harmless_cell_stays_as_it_is(text):
    assert csv_cell(text) == text


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\r", "\u202e", "\x07"])
def test_what_a_terminal_would_act_on_is_written_as_an_escape(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_letters_of_every_language_stay():
    assert printable("Nb₃Sn Ärger 超伝導") == "Nb₃Sn Ärger 超伝導"
