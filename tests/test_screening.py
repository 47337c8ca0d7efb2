"""Screening: shards, answers, filters, ranking, report, and a run that is killed and goes on."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import mlflow
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from example_structures import ALL, mgb2
from filelock import FileLock
from pymatgen.core import Lattice, Structure

import supervision
from entrypoints import screen as entry_point
from supervision.answer.answer import Answer
from supervision.answer.known import KnownMaterials
from supervision.answer.released import find_released
from supervision.data.cif_writer import structure_to_cif
from supervision.data.composition_distance import fraction_matrix
from supervision.data.datasets import load_dataset
from supervision.data.errors import DatasetError
from supervision.runtime.lock import BusyError
from supervision.screening import ranking, shards, worker
from supervision.screening import screen as screening
from supervision.screening.filters import AnswerFilters, StructureFilters
from supervision.screening.folder import ScreeningFolder
from supervision.screening.ranking import rank
from supervision.screening.screen import ScreenOptions, screen
from supervision.screening.shards import estimated_atoms, read_manifest, write_shards
from supervision.screening.sources.candidate import Candidate, Skipped
from supervision.screening.summary import Summary
from supervision.screening.worker import ShardTask, screen_shard

ROOT = Path(__file__).resolve().parents[1]
CRYSTALS = load_dataset("classics").crystals
CIFS = {name: structure_to_cif(make()) for name, make in ALL.items()}
FILES = ("ranked.parquet", "ranked.csv", "rejects.csv")


def in_this_process(tasks, workers, settings):
    for task in tasks:
        screen_shard(task)
        yield task.rows


@pytest.fixture
def one_process(monkeypatch):
    """Shards are answered here: to start a process takes seconds."""
    monkeypatch.setattr(screening, "engine_named", lambda name: in_this_process)


@pytest.fixture
def source(tmp_path):
    """A folder of thirty crystals, a formula, two broken files and one that is no structure."""
    folder = tmp_path / "source"
    folder.mkdir()
    for crystal in CRYSTALS[::9][:30]:
        (folder / f"{crystal.id}.cif").write_text(crystal.cif)
    (folder / "broken.cif").write_text("data_x\n_cell_length_a 1\n")
    (folder / "=formula.cif").write_text("")
    (folder / "notes.txt").write_text("")
    pq.write_table(pa.table({"id": ["MgB2"], "formula": ["MgB2"]}), folder / "a.parquet")
    return folder


def run(source, out, options=None, structure=None, answer=None):
    return screen(
        str(source), out, find_released("fast"), options or ScreenOptions(shard_rows=5, top=1),
        structure or StructureFilters(), answer or AnswerFilters(),
    )  # fmt: skip


def contents(out):
    return [(out / name).read_bytes() for name in FILES]


# --- shards


def test_atoms_are_estimated_from_the_volume_of_the_cell():
    assert estimated_atoms(CIFS["nb3sn"]) == round(5.29**3 / 17)  # 9; there are 8
    assert estimated_atoms(CIFS["mgb2"]) == round(3.086**2 * math.sqrt(0.75) * 3.524 / 17)
    assert estimated_atoms("no cell") == 1
    flat = "_cell_length_a 9\n_cell_length_b 9\n_cell_length_c 9\n" + "".join(
        f"_cell_angle_{angle} {value}\n"
        for angle, value in (("alpha", 1), ("beta", 1), ("gamma", 9))
    )
    assert estimated_atoms(flat) == 1
    assert estimated_atoms(flat.replace(" 9\n", " 9" + 300 * "0" + "\n")) == 1000


def cube(atoms):
    """CIF text of a cell whose volume is that of so many atoms."""
    return structure_to_cif(Structure(Lattice.cubic((17 * atoms) ** (1 / 3)), ["Nb"], [[0, 0, 0]]))


def write(found, folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    list(write_shards(found, ScreeningFolder(folder), rows))
    return read_manifest(ScreeningFolder(folder))


def test_a_shard_closes_when_it_has_enough_atoms_and_rows(tmp_path):
    large = write([Candidate(str(n), cube(30)) for n in range(10)], tmp_path / "large", 4)
    assert [(s.rows, s.atoms) for s in large.shards] == [(4, 120), (4, 120), (2, 60)]
    medium = write([Candidate(str(n), cube(8)) for n in range(10)], tmp_path / "medium", 4)
    assert [s.rows for s in medium.shards] == [6, 4]  # 6 * 8 atoms are 4 * 12
    small = write([Candidate(str(n), cube(1)) for n in range(20)], tmp_path / "small", 4)
    assert [s.rows for s in small.shards] == [16, 4]  # at most 4 times the fewest


def test_a_shard_holds_the_candidates_as_they_are(tmp_path):
    given = [
        Candidate("a", CIFS["mgb2"], energy_above_hull=0.5),
        Skipped("README"),
        Candidate("b", error="It is broken."),
        Candidate("c", formula="MgB2"),
    ]
    manifest = write(given, tmp_path, 5)
    assert (manifest.rows, manifest.skipped) == (3, 1)
    rows = pq.read_table(tmp_path / "shards" / "000000.parquet").to_pylist()
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert rows[0]["cif"] == CIFS["mgb2"] and rows[0]["energy_above_hull"] == 0.5
    assert rows[1]["error"] == "It is broken." and rows[1]["energy_above_hull"] is None
    assert rows[2]["formula"] == "MgB2"
    assert len({row["content_hash"] for row in rows}) == 3


def test_groups_of_rows_change_nothing(tmp_path, monkeypatch):
    given = [Candidate(str(n), cube(n + 1)) for n in range(20)]
    write(given, tmp_path / "one", 50)
    monkeypatch.setattr(shards, "GROUP_ROWS", 3)
    write(given, tmp_path / "many", 50)
    one, many = (pq.read_table(tmp_path / name / "shards") for name in ("one", "many"))
    assert one.equals(many)


def test_interrupted_sharding_begins_anew(tmp_path):
    def failing():
        yield from [Candidate(str(n), cube(1)) for n in range(7)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(failing(), tmp_path, 1)
    assert read_manifest(ScreeningFolder(tmp_path)) is None
    assert [p.name for p in (tmp_path / "shards").iterdir()] == ["000000.parquet"]
    manifest = write([Candidate("a", cube(30))], tmp_path, 1)
    assert [p.stem for p in (tmp_path / "shards").iterdir()] == [s.name for s in manifest.shards]


def test_a_source_without_structures_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="The source holds no structure"):
        write([Skipped("README")], tmp_path, 1)


# --- answers


def shard_task(tmp_path, found, filters=None):
    write(found, tmp_path, 1_000)
    (tmp_path / "results").mkdir()
    name = "000000.parquet"
    return ShardTask(
        tmp_path / "shards" / name, tmp_path / "results" / name, len(found),
        find_released("fast").folder, filters or StructureFilters(),
    )  # fmt: skip


def answers(task):
    screen_shard(task)
    return pq.read_table(task.result).to_pylist()


def test_a_bad_row_is_a_reject_with_its_reason(tmp_path):
    given = [
        Candidate("good", CIFS["mgb2"]),
        Candidate("unread", error="The file is damaged."),
        Candidate("broken", "data_x\n"),
        Candidate("formula", formula="MgB2"),
        Candidate("no formula", formula="Water"),
        Candidate("empty"),
        Candidate("no features", CIFS["nb3sn"].replace("Sn", "Am")),
    ]
    good, unread, broken, formula, wrong, empty, heavy = answers(shard_task(tmp_path, given))
    assert good["error"] == formula["error"] == ""
    assert good["atoms"] == 3 and formula["atoms"] == 0
    assert good["novelty"] == pytest.approx(0, abs=0.01)
    assert good["tc_lower"] < good["tc_kelvin"] < good["tc_upper"]
    assert unread["error"] == "The file is damaged."
    assert "no _atom_site_fract_x" in broken["error"] and broken["tc_kelvin"] is None
    assert wrong["error"] == "'Water' is not a chemical formula."
    assert empty["error"] == "The CIF text is empty; give the content of a .cif file."
    assert "no features for Am" in heavy["error"]


def test_answers_are_those_of_the_model_alone(tmp_path):
    given = [Candidate(c.id, c.cif) for c in CRYSTALS[:100:3]]
    found = answers(shard_task(tmp_path, given))
    expected = supervision.load("released:fast").predict([c.cif for c in CRYSTALS[:100:3]])
    assert [row["tc_kelvin"] for row in found] == list(expected["tc_kelvin"])
    assert [row["domain"] for row in found] == list(expected["domain"])


class Failing:
    """A model that fails on one crystal."""

    known = None

    def answer(self, crystals):
        if any(c.id == "2" for c in crystals):
            raise ZeroDivisionError("division by zero")
        return [Answer(c.id, tc_kelvin=1.0) for c in crystals]


def test_a_row_on_which_the_model_fails_costs_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "load_screener", lambda model: worker.Screener(Failing()))
    found = answers(shard_task(tmp_path, [Candidate(str(n), CIFS["mgb2"]) for n in range(4)]))
    assert [bool(row["error"]) for row in found] == [False, False, True, False]
    assert "ZeroDivisionError" in found[2]["error"]
    assert [row["novelty"] for row in found] == [None] * 4


def test_a_shard_that_is_done_is_not_asked_again(tmp_path, monkeypatch):
    task = shard_task(tmp_path, [Candidate("a", CIFS["mgb2"])])
    screen_shard(task)
    monkeypatch.setattr(worker, "load_screener", pytest.fail)
    screen_shard(task)


def test_an_interrupted_shard_leaves_nothing(tmp_path):
    task = shard_task(tmp_path, [Candidate("a", CIFS["mgb2"])])

    def interrupt(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen_shard(task, interrupt)
    assert list((tmp_path / "results").iterdir()) == []


# --- filters


def test_filters_of_structures_are_applied_before_the_model_is_asked(tmp_path):
    filters = StructureFilters(elements="B", without="La,Sn", max_atoms=3, max_hull=0.1)
    given = [
        Candidate("kept", CIFS["mgb2"], energy_above_hull=0.1),
        Candidate("no energy", CIFS["mgb2"]),
        Candidate("unstable", CIFS["mgb2"], energy_above_hull=0.11),
        Candidate("no boron", CIFS["niobium"]),
        Candidate("lanthanum", CIFS["mgb2"].replace("Mg", "La")),
        Candidate("large", structure_to_cif(mgb2() * (2, 1, 1))),
        Candidate("broken", "data_x"),
        Candidate("formula", formula="MgB2"),
    ]
    found = {row["id"]: row for row in answers(shard_task(tmp_path, given, filters))}
    assert {name: row["filtered"] for name, row in found.items()} == {
        "kept": "", "no energy": "", "unstable": "max_hull", "no boron": "elements",
        "lanthanum": "without", "large": "max_atoms", "broken": "", "formula": "",
    }  # fmt: skip
    assert found["broken"]["error"] and not found["large"]["error"]
    assert {name for name, row in found.items() if row["tc_kelvin"] is not None} == {
        "kept", "no energy", "formula",
    }  # fmt: skip


ROW = {
    "row": 0, "id": "a", "formula": "Nb", "atoms": 1, "is_disordered": False, "tc_kelvin": 20.0,
    "tc_lower": 5.0, "tc_upper": 30.0, "p_superconducting": 0.9, "p_above_10": 0.8,
    "p_above_20": 0.5, "p_above_40": 0.0, "domain": "series", "domain_error": 1.0,
    "nearest": [{"formula": "Nb", "tc_kelvin": 9.2, "distance": 0.1}], "members": [("x", 1.0)],
    "remarks": ["One."], "model_version": "m", "novelty": 0.1, "energy_above_hull": None,
    "content_hash": "h", "filtered": "", "error": "",
}  # fmt: skip


def result(path, rows):
    """A file as ``screen_shard`` writes it."""
    full = [ROW | {"row": number} | row for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(full, schema=worker.SCHEMA), path)
    return path


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"domain": "series,new family"}, "abd"),
        ({"min_lower": 5.0}, "ac"),
        ({"p_above_10": 0.8}, "abc"),
        ({"p_above_20": 0.51}, "b"),
        ({"p_above_40": 0.3}, ""),
        ({"novelty": 0.1}, "abd"),
        ({"novelty": 0.11}, "b"),
        ({"domain": "series", "min_lower": 5.0}, "a"),
        ({}, "abcd"),
    ],
)
def test_filters_of_answers(filters, kept, tmp_path):
    rows = [
        {"id": "a"},
        {"id": "b", "domain": "new family", "tc_lower": 4.9, "p_above_20": 0.6, "novelty": 0.5},
        {"id": "c", "domain": "known", "novelty": 0.0},
        {"id": "d", "tc_lower": None, "tc_upper": None, "p_above_10": None, "p_above_20": None},
    ]
    found = rank([result(tmp_path / "r", rows)], tmp_path, AnswerFilters(**filters), "tc_kelvin", 9)
    assert "".join(row["id"] for row in found.top) == kept
    assert found.filtered.total() == 4 - len(kept)
    assert set(found.filtered) == set(filters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StructureFilters(elements="Nb,Zz"), "elements: 'Zz' is not the symbol"),
        (lambda: StructureFilters(max_atoms=-1), "max_atoms must be 0 "),
        (lambda: StructureFilters(max_hull=math.nan), "max_hull must be a number"),
        (lambda: AnswerFilters(domain="knwn"), "domain: 'knwn' is not one of known, series"),
        (lambda: AnswerFilters(p_above_10=1.1), "p_above_10 must be from 0 to 1, got 1.1"),
        (lambda: AnswerFilters(novelty=math.nan), "novelty must be from 0 to 2, got nan"),
        (lambda: ScreenOptions(engine="dask"), "engine 'dask' is not one of local, spark, slurm"),
        (lambda: ScreenOptions(by="id"), "by 'id' is not one of tc_kelvin"),
        (lambda: ScreenOptions(shard_rows=0), "shard_rows must be 1 or more, got 0"),
    ],
)
def test_a_wrong_option_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_novelty_is_the_distance_to_measured_superconductors():
    formulas = ["MgB2", "Mg", "NbN"]
    known = KnownMaterials(
        formulas, np.array([39.0, 0.0, 10.0]), np.array([False, False, True]),
        fraction_matrix(formulas).astype(np.float32),
    )  # fmt: skip
    superconductors = known.superconductors()
    assert list(superconductors.formulas) == ["MgB2"]
    # B 2/3 and Mg 1/3 against Mg alone: 2 - 2/3
    assert superconductors.distance(fraction_matrix(["Mg"])) == pytest.approx([4 / 3])


# --- the ranking


def test_the_highest_comes_first_and_equal_ones_by_id_and_row(tmp_path):
    one = [{"id": "b"}, {"id": "a", "tc_kelvin": 5.0}, {"id": "é"}, {"id": "Z", "tc_kelvin": 21.0}]
    two = [{"id": "a", "row": 4}, {"id": "b", "row": 5}, {"id": "c", "row": 6, "tc_kelvin": 0.0}]
    files = [result(tmp_path / "1", one), result(tmp_path / "2", two)]
    rank(files, tmp_path, AnswerFilters(), "tc_kelvin", 3)
    found = pq.read_table(tmp_path / "ranked.parquet").to_pylist()
    assert [(row["rank"], row["id"], row["row"]) for row in found] == [
        (1, "Z", 3), (2, "a", 4), (3, "b", 0), (4, "b", 5), (5, "é", 2), (6, "a", 1), (7, "c", 6),
    ]  # fmt: skip
    assert list(pd.read_csv(tmp_path / "ranked.csv")["id"]) == [row["id"] for row in found]


def test_what_lacks_the_value_to_rank_by_comes_last(tmp_path):
    rows = [{"id": "a", "p_above_20": None}, {"id": "b", "p_above_20": 0.1}, {"id": "c"}]
    file = result(tmp_path / "r", rows)
    found = rank([file], tmp_path, AnswerFilters(), "p_above_20", 9)
    assert [row["id"] for row in found.top] == ["c", "b", "a"]


def test_many_files_are_merged_in_the_order_of_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [
        {"id": f"c{rng.integers(50)}", "tc_kelvin": float(rng.integers(9)), "row": n}
        for n in range(400)
    ]
    files = [result(tmp_path / f"{n}", rows[20 * n : 20 * n + 20]) for n in range(20)]
    rank(files, tmp_path, AnswerFilters(), "tc_kelvin", 9)
    once = contents(tmp_path)
    for name, value in (("OPEN_FILES", 3), ("BATCH_ROWS", 7)):
        monkeypatch.setattr(ranking, name, value)
    rank(files, tmp_path, AnswerFilters(), "tc_kelvin", 9)
    assert contents(tmp_path) == once
    expected = sorted(rows, key=lambda row: (-row["tc_kelvin"], row["id"], row["row"]))
    found = pq.read_table(tmp_path / "ranked.parquet")["row"].to_pylist()
    assert found == [row["row"] for row in expected]
    assert not (tmp_path / "sorted").exists()


def test_the_tables_hold_the_whole_answer_and_no_formula_of_a_spreadsheet(tmp_path):
    rows = [{"id": "=1+1"}, {"id": "bad", "error": "@SUM(A1)", "tc_kelvin": None}]
    rank([result(tmp_path / "r", rows)], tmp_path, AnswerFilters(), "tc_kelvin", 9)
    (row,) = pq.read_table(tmp_path / "ranked.parquet").to_pylist()
    assert {name: row[name] for name in ROW if name in row} == {
        name: value for name, value in (ROW | rows[0]).items() if name in row
    }
    (line,) = pd.read_csv(tmp_path / "ranked.csv").to_dict("records")
    assert line["id"] == "'=1+1"
    assert line["nearest"] == "Nb 9.2 K (0.100)" and line["members"] == "x 1 K"
    assert (line["tc_upper"], line["novelty"], line["remarks"]) == (30.0, 0.1, "One.")
    rejects = pd.read_csv(tmp_path / "rejects.csv")
    assert rejects.to_numpy().tolist() == [[1, "bad", "'@SUM(A1)"]]


def test_the_summary_counts_every_row_and_finds_the_front():
    summary = Summary()
    for tc, low, high, domain in (
        (30, 0, 60, "known"), (20, 0, 61, "known"), (10, 8, 12, "series"), (9, 8, 13, "series"),
        (5, 0, 20, "series"), (40, 0, 90, "new family"),
    ):  # fmt: skip
        row = {"tc_kelvin": tc, "tc_lower": low, "tc_upper": high, "domain": domain}
        summary.add(ROW | row)
    assert summary.count == 6
    assert summary.domains == {"known": 2, "series": 3, "new family": 1}
    assert summary.density().sum() == 6
    assert [row["tc_kelvin"] for row in summary.front] == [10, 30, 40]


# --- whole screenings


def test_a_screening_says_what_became_of_every_candidate(source, tmp_path, one_process):
    found = run(source, tmp_path / "out", answer=AnswerFilters(p_above_10=0.5))
    assert (found.candidates, found.skipped, found.rejected) == (33, 1, 2)
    assert found.ranked + found.filtered["p_above_10"] + found.rejected == found.candidates
    assert 0 < found.ranked < 31
    assert str(found) == (
        f"Screened 33 candidates: {found.ranked} ranked, {31 - found.ranked} filtered out "
        f"({31 - found.ranked} by p_above_10), 2 rejected, 1 other file skipped. "
        f"The report is {found.report}."
    )
    rejects = pd.read_csv(tmp_path / "out" / "rejects.csv")
    assert list(rejects["id"]) == ["'=formula.cif", "broken.cif"]
    ranked = pd.read_csv(tmp_path / "out" / "ranked.csv")
    assert len(ranked) == found.ranked
    assert ranked["tc_kelvin"].is_monotonic_decreasing
    assert (ranked["p_above_10"] >= 0.5).all()


def test_other_filters_of_answers_need_no_new_answers(source, tmp_path, one_process, monkeypatch):
    first = run(source, tmp_path / "out")
    before = contents(tmp_path / "out")
    monkeypatch.setattr(screening, "engine_named", pytest.fail)
    narrow = run(source, tmp_path / "out", ScreenOptions(shard_rows=5, by="p_above_40", top=1),
                 answer=AnswerFilters(p_above_20=0.5))  # fmt: skip
    assert 0 < narrow.ranked < first.ranked
    run(source, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_the_first_candidates_are_files_that_give_the_same_answers(source, tmp_path, one_process):
    out = tmp_path / "out"
    run(source, out, ScreenOptions(shard_rows=5, top=4))
    files = sorted((out / "top").iterdir())
    ranked = pd.read_csv(out / "ranked.csv")[:4]
    assert [path.name for path in files] == [
        f"{rank:03d}_{id}" for rank, id in zip(ranked["rank"], ranked["id"], strict=True)
    ]
    answers = [find_answer(path) for path in files]
    assert answers == pytest.approx(ranked["tc_kelvin"].tolist())
    run(source, out, ScreenOptions(shard_rows=5, top=2, by="p_above_40"))
    assert len(list((out / "top").iterdir())) == 2
    assert not (out / "top.part").exists()


def find_answer(path):
    return supervision.load(fast=True).answer(path).tc_kelvin


def test_the_size_of_shards_does_not_change_the_ranking(source, tmp_path, one_process):
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", ScreenOptions(shard_rows=1000))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_input_or_model_is_refused(source, tmp_path, one_process):
    out = tmp_path / "out"
    run(source, out)
    with pytest.raises(DatasetError, match="holds a screening with another max_atoms; give the"):
        run(source, out, structure=StructureFilters(max_atoms=5))
    with pytest.raises(DatasetError, match="another shard_rows"):
        run(source, out, ScreenOptions(shard_rows=6))
    with pytest.raises(DatasetError, match="another model"):
        screen(str(source), out, find_released("composition"), ScreenOptions(shard_rows=5),
               StructureFilters(), AnswerFilters())  # fmt: skip
    (source / "new.cif").write_text(CIFS["nb3sn"])
    with pytest.raises(DatasetError, match="another source"):
        run(source, out)


def test_a_screening_of_variants_that_is_interrupted_goes_on_to_the_same_ranking(
    tmp_path, one_process, monkeypatch
):
    parents = tmp_path / "parents"
    parents.mkdir()
    for name in ("mgb2", "nb3sn"):
        (parents / f"{name}.cif").write_text(CIFS[name])
    source = f"generate:{parents}?fractions=0.1,0.5"
    run(source, tmp_path / "whole")

    def ends_after_two(tasks, workers, settings):
        for task in tasks[:2]:
            screen_shard(task)
            yield task.rows
        raise KeyboardInterrupt

    out = tmp_path / "interrupted"
    with monkeypatch.context() as changed:
        changed.setattr(screening, "engine_named", lambda name: ends_after_two)
        with pytest.raises(KeyboardInterrupt):
            run(source, out)
    done = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    assert len(done) == 2
    run(source, out)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert contents(out) == contents(tmp_path / "whole")
    with pytest.raises(DatasetError, match="holds a screening with another source"):
        run(f"{source},1", out)


def test_a_folder_with_other_files_is_refused(source, tmp_path, one_process):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(DatasetError, match="has other files than those of a screening"):
        run(source, tmp_path / "out")
    with pytest.raises(DatasetError, match="is a file; name a folder"):
        run(source, tmp_path / "out" / "thesis.tex")


def test_two_processes_do_not_screen_into_one_folder(source, tmp_path, one_process):
    run(source, tmp_path / "out")
    with (
        FileLock(tmp_path / "out" / "lock"),
        pytest.raises(BusyError, match="Another process screens into"),
    ):
        run(source, tmp_path / "out")


# --- processes

SCRIPT = """
import sys
from pathlib import Path
from supervision.answer.released import find_released
from supervision.screening.filters import AnswerFilters, StructureFilters
from supervision.screening.screen import ScreenOptions, screen

if __name__ == "__main__":
    source, out, rows = sys.argv[1:]
    options = ScreenOptions(workers=2, shard_rows=int(rows))
    screen(source, Path(out), find_released("fast"), options, StructureFilters(), AnswerFilters())
"""


def start(script, source, out, rows=20):
    return subprocess.Popen(
        [sys.executable, script, str(source), str(out), str(rows)],
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "screen_it.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for crystal in CRYSTALS:
        (folder / f"{crystal.id}.cif").write_text(crystal.cif)
    (folder / "broken.cif").write_text("data_x\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_killed_screening_gives_the_ranking_of_an_uninterrupted_one(
    script, many, tmp_path, turns
):
    began = time.monotonic()
    process = start(script, many, tmp_path / "whole")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    duration, generator, kills, out = time.monotonic() - began, Random(1), 0, tmp_path / "killed"
    done = []
    while kills < turns:
        process = start(script, many, out)
        time.sleep(duration * generator.uniform(0.3, 0.9))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == [], "workers end with the process that started them"
        done.append(len(list(out.glob("results/*.parquet"))))
    process = start(script, many, out)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert contents(out) == contents(tmp_path / "whole")
    assert done == sorted(done), "what is done stays done"
    assert not list(out.rglob("*.part"))


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_candidate(script, many, tmp_path):
    out = tmp_path / "out"
    process = start(script, many, out)
    while not list(out.glob("results/*.parquet")) and process.poll() is None:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
    workers[0].kill()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "A worker process was ended from outside (signal 9); 1 go on." in errors
    rows = sum(pq.read_metadata(path).num_rows for path in out.glob("results/*.parquet"))
    assert rows == len(CRYSTALS) + 1


# --- the report


def test_the_report_shows_the_first_candidates_and_needs_nothing_else(
    source, tmp_path, one_process
):
    found = run(source, tmp_path / "out", ScreenOptions(shard_rows=5, top=4))
    page = found.report.read_text()
    ranked = pq.read_table(tmp_path / "out" / "ranked.parquet").to_pylist()
    assert "<script" not in page
    assert set(re.findall(r'(?:src|href)="([^;]+)', page)) == {"data:image/svg+xml"}
    assert page.count('class="picture"') == 4
    assert "The first 4" in page
    for row in ranked[:4]:
        assert f"<li>{row['id']}</li>" in page
    assert page.count("Distribution") == 0  # titles are in the figures
    assert page.count("data:image/svg+xml;base64") == 4 + 3


def test_names_in_the_report_are_text(tmp_path, one_process):
    row = {"id": "<script>alert(1)</script>", "cif": CIFS["mgb2"]}
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), tmp_path / "a.parquet")
    page = run(tmp_path / "a.parquet", tmp_path / "out").report.read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_screening_without_a_ranked_candidate_has_a_report(tmp_path, one_process):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "bad.cif").write_text("data_x")
    found = run(tmp_path / "source", tmp_path / "out")
    assert found.ranked == 0
    assert "No candidate is ranked." in found.report.read_text()


# --- the command and the function


def command(*arguments):
    typer.main.get_command(entry_point.app)(map(str, arguments), standalone_mode=False)


def test_the_command_logs_the_screening(own_store, source, tmp_path, one_process, capsys):
    out = tmp_path / "out"
    command(
        source, "--model", "released:fast", "--out", out, "--shard-rows", 5, "--domain", "known"
    )
    printed = capsys.readouterr().out
    (logged,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["candidates"] == 33
    assert logged.data.metrics["rejected"] == 2
    assert logged.data.metrics["filtered_by_domain"] >= 0
    assert logged.data.params["domain"] == "known"
    assert printed.splitlines()[-1].startswith("Screened 33 candidates: ")
    artifacts = {f.path for f in mlflow.MlflowClient().list_artifacts(logged.info.run_id)}
    assert artifacts == {*FILES, "report.html"}


def test_nothing_to_screen_is_one_sentence(own_store, capsys):
    with pytest.raises(SystemExit):
        command()
    assert "error: Nothing to screen: name a folder or a file" in capsys.readouterr().err


def test_the_function_screens_with_a_model_by_its_name(source, tmp_path, one_process):
    out = tmp_path / "out"
    found = supervision.screen(source, out, "released:fast", shard_rows=5, max_atoms=20)
    assert found.candidates == 33 and found.filtered.get("max_atoms", 0) > 0
    assert json.loads((out / "settings.json").read_text())["max_atoms"] == "20"
    with pytest.raises(ValueError, match="'colour' is not a setting of a screening"):
        supervision.screen(source, out, "released:fast", colour="red")


# --- memory

MEMORY = """
import re
import resource
import sys
from pathlib import Path
from supervision.answer.released import find_released
from supervision.screening.filters import AnswerFilters, StructureFilters
from supervision.screening.screen import ScreenOptions, screen

if __name__ == "__main__":
    source, out, rows = sys.argv[1:]
    options = ScreenOptions(workers=2, shard_rows=int(rows))
    screen(source, Path(out), find_released("fast"), options, StructureFilters(), AnswerFilters())
    # ru_maxrss of a process is at least that of the process that started it
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_source(tmp_path):
    """Ten times the candidates take as much memory, in the first process and in a worker.

    The smaller source fills the buffers, which hold ``ranking.WRITTEN_ROWS`` answers.
    """
    script, peaks = tmp_path / "memory.py", []
    script.write_text(MEMORY)
    for size in (4_500, 45_000):
        given = [CRYSTALS[n % len(CRYSTALS)].cif for n in range(size)]
        path = tmp_path / f"{size}.parquet"
        pq.write_table(pa.table({"id": [str(n) for n in range(size)], "cif": given}), path)
        done = subprocess.run(
            [sys.executable, script, path, tmp_path / str(size), "500"],
            cwd=ROOT, env=environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append([int(kib) / 1024 for kib in done.stdout.split()[-2:]])  # MiB
    assert np.subtract(*reversed(peaks)) == pytest.approx(0, abs=40)
