"""``predict`` on a folder that anybody may have filled."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from logged import log_untrained
from projects import ROOT

from entrypoints.predict import check_free
from supervision.data.datasets import load_dataset
from supervision.data.datasets.table import load_cif
from supervision.data.errors import DatasetError
from supervision.runtime.text import cell, printable

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


def test_a_hostile_folder_costs_no_good_file(store, model, tmp_path):
    folder, out = tmp_path / "files", tmp_path / "out.csv"
    folder.mkdir()
    os.mkfifo(folder / "pipe.cif")
    (folder / "link.cif").symlink_to(folder / "pipe.cif")
    (folder / "zero.cif").symlink_to("/dev/zero")
    (folder / "loop.cif").symlink_to(folder / "loop.cif")
    (folder / "folder.cif").mkdir()
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
    for name in ("pipe.cif", "link.cif", "zero.cif"):
        assert rows[name]["problem"] == "It is no regular file, but a pipe, a device or a socket."
    assert "red\\x1b[31m\\nrow.cif" in rows
    assert "loop.cif" in rows


def test_a_named_pipe_is_a_row_with_its_reason(store, model, tmp_path):
    os.mkfifo(tmp_path / "pipe.cif")
    done = predict(store, model, tmp_path / "pipe.cif")
    assert done.returncode == 2
    assert "It is no regular file" in done.stdout


def test_a_place_that_cannot_be_written_is_said_before_anything_is_predicted(tmp_path):
    with pytest.raises(DatasetError, match="cannot be written to /sys"):
        check_free(Path("/sys/kernel/out.csv"))
    os.mkfifo(tmp_path / "out.csv")
    with pytest.raises(DatasetError, match="not a table of predictions"):
        check_free(tmp_path / "out.csv")


def test_a_device_is_never_read():
    with pytest.raises(ValueError, match="no regular file"):
        load_cif(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["a.cif", "1.5", "Nb3Sn", "", "a=b"])
def test_a_harmless_cell_stays_as_it_is(text):
    assert cell(text) == text


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\r", "\u202e", "\x07"])
def test_what_a_terminal_would_act_on_is_written_out(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_letters_of_every_language_stay():
    assert printable("Nb₃Sn Ärger 超伝導") == "Nb₃Sn Ärger 超伝導"
