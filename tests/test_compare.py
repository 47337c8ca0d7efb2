"""The comparison: what it says of numbers made up for it, and of real runs."""

import os
import re
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from entrypoints import compare as entry
from entrypoints import train_composition
from supervision.metrics import all_metrics, mae
from tracking.compare import (
    band_table,
    cost_table,
    difference,
    main_table,
    pair_table,
    ranked,
    sentences,
)
from tracking.page import Page
from tracking.results import Result, from_file, latest, refuse_mixed

RNG = np.random.default_rng(0)
TC = RNG.gamma(0.6, 12, 400)
HASHES = {"dataset_hash": "d", "split_hash": "s"}


def result(name, error, split="random", **changes):
    """A model of which each prediction is off by a random number of that size."""
    pipeline = {"zero-shot": "zero_shot"}.get(name.split(":")[0], name.split(":")[0])
    away = np.random.default_rng(len(name)).normal(0, error, len(TC))
    index = pd.Index([f"m{i:03}" for i in range(len(TC))], name="material_id")
    test = pd.DataFrame({"tc": TC, "tc_pred": TC + away}, index=index)
    null = all_metrics(TC, np.full(len(TC), 3.0)) | {
        f"{m}_{end}": 0.0 for m in ("mae", "rmse", "r2") for end in ("low", "high")
    }
    paired = {"difference": -2.0, "low": -3.0, "high": -1.0, "p": 0.0005}
    null |= {f"model_minus_null_{key}": value for key, value in paired.items()}
    settings = {
        "id": f"{name}-id", "name": name, "pipeline": pipeline, "split": split, "split_hash": "s",
        "params": HASHES | {"parameters": "4000000", "trained_parameters": "1000000"},
        "metrics": {"train_minutes": 2.0, "val_mae_final": 3.0}, "curve": {0: 4.0, 1: 3.0},
        "comparison": pd.DataFrame([{"predictor": "constant median"} | null]),
        "bands": pd.DataFrame([{"band": "40+", "n": 3, "mae": 9.0, "bias": -8.0}]), "test": test,
    }  # fmt: skip
    return Result(**(settings | changes))


TREES = result("composition: extra trees", 2.0)
GRAPH = result("graph: alignn_ff, fine-tuned", 1.0)
SCRATCH = result("graph: from scratch", 3.0)
VISION = result("vision: dinov3_vitb16, LoRA", 2.05)
FAR = result("zero-shot: jarvis_supercon", 9.0)


def test_models_stand_in_the_order_of_their_error():
    assert ranked([FAR, TREES, GRAPH], "random") == [GRAPH, TREES, FAR]


def test_a_difference_is_of_the_same_materials():
    d = difference(GRAPH, SCRATCH)
    ours, theirs = (mae(TC, r.test["tc_pred"].to_numpy()) for r in (GRAPH, SCRATCH))
    assert d.difference == pytest.approx(ours - theirs)
    assert d.shows and d.high < 0


def test_where_trees_win_it_says_so_before_anything_else():
    family = [
        result("composition: extra trees", 1.0, "family"),
        result("graph: alignn_ff, fine-tuned", 2.0, "family"),
    ]
    said = sentences([GRAPH, TREES, *family])
    assert said[0].startswith("**On `family`, trees on composition alone are first**")
    assert "Graph: alignn_ff, fine-tuned is worse than composition: extra trees" in said[0]
    assert said[1].startswith("**On `random`, graph: alignn_ff, fine-tuned is first**")
    assert "is better than composition: extra trees" in said[1]


def test_what_cannot_be_told_apart_is_said_to_be_so():
    said = sentences([TREES, VISION])
    assert "cannot be told apart" in said[0]
    assert any("no difference shows between" in text for text in said)


def test_pretraining_and_paradigms_are_judged():
    said = " ".join(sentences([TREES, GRAPH, SCRATCH, VISION, FAR]))
    assert "pretraining helps for the graph path" in said
    assert "of the two paradigms, graph: alignn_ff, fine-tuned is ahead" in said
    assert "zero-shot: jarvis_supercon is better than the same Tc for all" in said


def test_the_bar_that_is_missing_is_missed():
    assert "no trees on composition were compared" in sentences([GRAPH, VISION])[0]


def test_tables_have_a_row_a_model_and_a_pair():
    results = [TREES, GRAPH, result("graph: alignn_ff, fine-tuned", 4.0, "family")]
    table = main_table(results).set_index("model")
    assert list(table.index) == [
        "constant median", "family mean",
        "graph: alignn_ff, fine-tuned", "composition: extra trees",
    ]  # fmt: skip
    assert table.loc["composition: extra trees", "family: MAE (K)"] == "–"
    value = all_metrics(TC, GRAPH.test["tc_pred"].to_numpy())["mae"]
    assert table.loc[GRAPH.name, "random: MAE (K)"].startswith(f"{value:.2f} (")
    pairs = pair_table(results, "random")
    assert len(pairs) == 1 + 2  # one pair of models, each against the null
    assert band_table(results, "random").iloc[0, 1] == "9.00 (-8.0)"
    cost = cost_table(results, {GRAPH.id: "12"}).set_index("model")
    assert cost.loc[GRAPH.name, "ms a crystal"].tolist() == ["12", "12"]
    assert cost.loc[TREES.name, ["parameters", "trained"]].tolist() == ["4.00 M", "25.0%"]


def test_mixed_splits_are_refused():
    other = result("vision: x, LoRA", 1.0, params=HASHES | {"split_hash": "another"})
    with pytest.raises(ValueError, match="their split_hash differ on the split 'random'"):
        refuse_mixed([GRAPH, other])
    fewer = result("vision: x, LoRA", 1.0, test=GRAPH.test.iloc[1:])
    with pytest.raises(ValueError, match="have other test materials"):
        refuse_mixed([GRAPH, fewer])


def test_predictions_from_elsewhere_stand_beside(tmp_path):
    path = tmp_path / "trees_on_states.csv"
    table = GRAPH.test.reset_index().assign(split="test", tc_pred=TC)
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    beside = from_file(path, [GRAPH])
    assert beside.name == "trees on states"
    assert ranked([GRAPH, beside], "random")[0] == beside
    assert beside.name in main_table([GRAPH, beside])["model"].tolist()
    table.iloc[1:].to_csv(path, index=False)
    with pytest.raises(ValueError, match="not of the test materials"):
        from_file(path, [GRAPH])


def test_a_page_holds_all_it_shows(tmp_path):
    page = Page("A title")
    page.heading("Part")
    page.table(pd.DataFrame({"a | b": ["x"], "n": ["1"]}), folded="All of it")
    page.picture("dot", b"\x89PNG", "a dot")
    written = page.write(tmp_path / "report.md")
    assert {p.name for p in written} == {"report.md", "report.html", "dot.png"}
    assert "](report/dot.png)" in (tmp_path / "report.md").read_text()
    html = (tmp_path / "report.html").read_text()
    assert '<img src="data:image/png;base64,iVBORw==" alt="a dot"' in html
    assert "<details><summary>All of it</summary>" in html
    assert ">a | b</th>" in html and ">x</td>" in html


# --- real runs


def train(*options):
    done = CliRunner().invoke(
        train_composition.app,
        ["--dataset", "classics", "--trees", "5", "--register", "false", *options],
    )
    assert done.exit_code == 0, done.output
    return re.search(r"Run (\w+)", done.output)[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of two kinds on two splits, one kind twice, and at last one of fewer materials."""
    before, here, folder = mlflow.get_tracking_uri(), Path.cwd(), tmp_path_factory.mktemp("store")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    os.chdir(folder)
    runs = [train("--split", split) for split in ("random", "random", "family")]
    yield [*runs, train("--model", "boosting"), train("--limit", "100")]
    os.chdir(here)
    mlflow.set_tracking_uri(before)


@contextmanager
def without(run):
    """As if that run had not been made."""
    mlflow.MlflowClient().delete_run(run)
    yield
    mlflow.MlflowClient().restore_run(run)


def compare(*options):
    return CliRunner().invoke(entry.app, [*options])


def test_the_latest_of_each_kind_become_one_report(trained, tmp_path):
    first, second, family, boosting, _ = trained
    out = tmp_path / "there" / "report.md"
    with without(trained[-1]):
        done = compare("--dataset", "classics", "--timed", "2", "--out", str(out))
    assert done.exit_code == 0, done.output
    said = next(line for line in done.output.splitlines() if line.startswith("**"))
    assert "trees on composition alone are first" in said
    text, page = out.read_text(), out.with_suffix(".html").read_text()
    for run in (second, family, boosting):
        assert f"`{run[:8]}`" in text
    assert f"`{first[:8]}`" not in text
    assert not re.search(r'(src|href)="(?!data:)', page)
    for name in re.findall(r"\]\((report/\w+\.png)\)", text):
        assert (out.parent / name).read_bytes().startswith(b"\x89PNG")
    assert len(re.findall(r"data:image/png", page)) == text.count(".png)") >= 6
    run = re.search(r"Run (\w+)", done.output)[1]
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(run)}
    assert {"comparison.md", "comparison.html", "comparison"} <= listed


def test_only_runs_of_the_newest_run_s_split_are_latest(trained):
    assert [r.id for r in latest("classics", ["random"])] == [trained[-1]]  # the limited one


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runs", "{0},{4}"], "their dataset_hash differ on the split 'random'"),
        (["--runs", "{0}", "--out", "x.html"], "out=x.html must end in .md"),
        (["--dataset", "nothing"], "No finished run on dataset=nothing to compare"),
        (["--runs", "0123"], "Run '0123' is not in"),
    ],
)
def test_what_cannot_be_compared_is_refused(trained, options, said):
    done = compare(*(option.format(*trained) for option in options))
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
