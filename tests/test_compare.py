"""The comparison: what it says of numbers made up for it, and of real runs."""

import errno
import os
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from entrypoints import compare as entry
from entrypoints import train_composition
from supervision.evaluation.metrics import all_metrics, mae
from tracking.comparison.html_page import Page
from tracking.comparison.results import (
    Result,
    disambiguate,
    from_file,
    latest,
    predictor_folder,
    require_comparable,
)
from tracking.comparison.tables import (
    band_table,
    chosen,
    cost_table,
    difference,
    expectation_table,
    joint_table,
    main_table,
    pair_table,
    rank_correlation,
    ranked,
    sentences,
)
from tracking.serving.downloads import download

RNG = np.random.default_rng(0)
TC = RNG.gamma(0.6, 12, 400)
HASHES = {"dataset_hash": "d", "split_hash": "s"}


def result(name, error, split="random", **changes):
    """A model of which each prediction is off by a random number of that size."""
    model_family = {"zero-shot": "zero_shot"}.get(name.split(":")[0], name.split(":")[0])
    away = np.random.default_rng(len(name)).normal(0, error, len(TC))
    index = pd.Index([f"m{i:03}" for i in range(len(TC))], name="material_id")
    test = pd.DataFrame({"tc": TC, "tc_pred": TC + away}, index=index)
    null = all_metrics(TC, np.full(len(TC), 3.0)) | {
        f"{m}_{end}": 0.0 for m in ("mae", "rmse", "r2") for end in ("low", "high")
    }
    paired = {"difference": -2.0, "low": -3.0, "high": -1.0, "p": 0.0005}
    null |= {f"model_minus_null_{key}": value for key, value in paired.items()}
    settings = {
        "id": f"{name}-id", "name": name, "model_family": model_family, "split": split, "split_hash": "s",
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
    assert "pretraining helps the graph path" in said
    assert "of the two model families, each by the model that validation prefers" in said
    assert "Graph: alignn_ff, fine-tuned is better than vision: dinov3_vitb16, LoRA" in said
    assert "zero-shot: jarvis_supercon is better than the same Tc for all" in said


def test_validation_and_not_test_chooses_who_speaks_for_a_paradigm():
    lucky = result("graph: alignn_ff, head alone", 0.5, metrics={"val_mae_final": 9.0})
    said = " ".join(sentences([TREES, lucky, GRAPH, SCRATCH, VISION]))
    assert "graph: alignn_ff, fine-tuned less graph: from scratch" in said
    assert chosen([lucky, GRAPH], "graph") == GRAPH


def test_a_model_that_does_not_beat_the_nulls_is_said_not_to():
    assert "no better than the nulls" in sentences([result("vision: x, LoRA", 90.0)])[0]
    assert "; the nulls: constant median" in sentences([GRAPH])[0]


def test_pretraining_that_shows_no_gain_is_said_to_show_none():
    said = sentences([GRAPH, result("graph: from scratch", 1.01, test=GRAPH.test)])
    assert any("no gain from pretraining shows on the graph path" in text for text in said)


def test_the_bar_that_is_missing_is_missed():
    assert "No trees on composition were compared" in sentences([GRAPH, VISION])[0]


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


def test_a_model_is_asked_what_it_adds_to_the_bar():
    """Two models that err by the same amount either way are right together."""
    test, bar = (GRAPH.test.assign(tc_pred=TC + error) for error in (2.0, -2.0))
    models = [
        result("composition: extra trees", 1.0, test=bar),
        result("graph: alignn_ff, fine-tuned", 1.0, test=test),
        result("vision: dinov3_vitb16, LoRA", 1.0, test=bar),
    ]
    table = joint_table(models, "random")
    name = "mean of composition: extra trees and"
    assert dict(zip(table[name], table["MAE (K)"], strict=True)) == {
        "graph: alignn_ff, fine-tuned": "0.00",
        "vision: dinov3_vitb16, LoRA": "2.00",
    }
    said = sentences(models)
    assert any("fine-tuned adds to the bar (the mean of both less" in text for text in said)
    assert any("LoRA adds nothing that shows to the bar" in text for text in said)
    assert joint_table(models[1:], "random").empty


def test_what_to_expect_of_a_prediction():
    tc, tc_pred = [0.0, 0.0, 3.0, 20.0, 100.0], [0.5, 2.0, 4.0, 10.0, 60.0]
    index = pd.Index([f"m{i}" for i in range(5)], name="material_id")
    model = result("x: y", 1.0, test=pd.DataFrame({"tc": tc, "tc_pred": tc_pred}, index=index))
    assert expectation_table(model).values.tolist() == [
        ["below 1", 1, "0.0 to 0.0", "100%", "0.5"],
        ["1 to 5", 2, "0.3 to 2.7", "50%", "1.5"],
        ["5 to 15", 1, "20.0 to 20.0", "0%", "10.0"],
        ["over 40", 1, "100.0 to 100.0", "0%", "40.0"],
    ]
    assert rank_correlation(model) == pytest.approx(9.5 / 95**0.5)  # two of five share a rank


def test_mixed_data_and_splits_are_refused():
    other = result("vision: x, LoRA", 1.0, split_hash="another")
    with pytest.raises(ValueError, match="their 'random' splits differ"):
        require_comparable([GRAPH, other])
    other = result("vision: x, LoRA", 1.0, "family", params=HASHES | {"dataset_hash": "another"})
    with pytest.raises(ValueError, match="cannot be compared: the data differ"):
        require_comparable([GRAPH, other])
    fewer = result("vision: x, LoRA", 1.0, test=GRAPH.test.iloc[1:])
    with pytest.raises(ValueError, match="have other test materials"):
        require_comparable([GRAPH, fewer])


def test_two_runs_of_one_kind_are_told_apart():
    again = result(GRAPH.name, 4.0, id="second-run")
    both = disambiguate([GRAPH, again, GRAPH])
    assert [r.name for r in both] == [f"{GRAPH.name} (graph: a)", f"{GRAPH.name} (second-r)"]
    rows = main_table(both).set_index("model")["random: MAE (K)"]
    assert rows.iloc[2] != rows.iloc[3]


@pytest.fixture
def beside(tmp_path):
    """A table of predictions from elsewhere, as it should be, and where it lies."""
    table = GRAPH.test.reset_index().assign(split="test", tc_pred=TC)
    return table.sample(frac=1, random_state=0), tmp_path / "trees_on_states.csv"


def test_predictions_from_elsewhere_stand_beside(beside):
    table, path = beside
    table.to_csv(path, index=False)
    found = from_file(path, [GRAPH])
    assert found.name == "trees on states"
    assert ranked([GRAPH, found], "random")[0] == found
    assert found.name in main_table([GRAPH, found])["model"].tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.iloc[1:], "not of the test materials"),
        (lambda t: t.drop(columns=["split", "tc"]), "has no column split, tc"),
        (lambda t: t.assign(tc=t["tc"] * 100), "another measured Tc"),
        (lambda t: t.assign(tc_pred=np.nan), "predictions that are not numbers"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "not of the test materials"),
    ],
    ids=["fewer", "columns", "other Tc", "no numbers", "twice"],
)
def test_predictions_that_do_not_fit_are_refused_by_name(beside, change, said):
    table, path = beside
    change(table).to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"trees_on_states\.csv .*{said}"):
        from_file(path, [GRAPH])


def test_what_others_wrote_is_not_run_by_the_page(tmp_path):
    page, evil = Page("x"), "<img src=x onerror=alert(1)>"
    page.bullets([evil])
    page.text(evil)
    page.table(pd.DataFrame({evil: [evil]}))
    assert "<img" not in page.html()


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
def trained(tmp_path_factory, database):
    """Runs of two kinds on two splits, one kind twice, and at last one of fewer materials."""
    before, here, folder = mlflow.get_tracking_uri(), Path.cwd(), tmp_path_factory.mktemp("store")
    shutil.copy(database, folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    os.chdir(folder)
    runs = [train("--split", split) for split in ("random", "random", "family")]
    yield [*runs, train("--model", "boosting"), train("--limit", "100")]
    os.chdir(here)
    mlflow.set_tracking_uri(before)


def compare(*options):
    return CliRunner().invoke(entry.app, [*options])


def test_the_latest_of_each_kind_become_one_report(trained, tmp_path):
    first, second, family, boosting, limited = trained
    out = tmp_path / "there" / "report.md"
    done = compare("--dataset", "classics", "--timed", "2", "--out", str(out))
    assert done.exit_code == 0, done.output
    said = next(line for line in done.output.splitlines() if line.startswith("**"))
    assert "trees on composition alone are first" in said
    text, page = out.read_text(), out.with_suffix(".html").read_text()
    for run in (second, family, boosting):
        assert f"`{run[:8]}`" in text
    assert f"`{first[:8]}`" not in text and f"`{limited[:8]}`" not in text  # not full, not newest
    assert len(re.findall(r"\| +\d+ \| +`", text)) == 3  # each was timed
    assert not re.search(r'(src|href)="(?!data:)', page)
    for name in re.findall(r"\]\((report/\w+\.png)\)", text):
        assert (out.parent / name).read_bytes().startswith(b"\x89PNG")
    assert len(re.findall(r"data:image/png", page)) == text.count(".png)") >= 5
    run = re.search(r"Run (\w+)", done.output)[1]
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(run)}
    assert {"comparison.md", "comparison.html", "comparison"} <= listed


def test_why_a_predictor_cannot_be_had_is_said(trained, monkeypatch):
    """A run of trees keeps it in its model; that it is nowhere else must not hide a full disk."""
    run = Result.read(trained[0])
    assert predictor_folder(run).name == "predictor"

    def full(uri):
        if uri.endswith("/model"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return download(uri)

    monkeypatch.setattr("tracking.comparison.results.download", full)
    with pytest.raises(ValueError, match=f"Run {trained[0]} has no predictor .*No space left"):
        predictor_folder(run)


def test_what_was_deleted_is_not_compared(trained):
    client = mlflow.MlflowClient()
    client.delete_run(trained[1])
    try:
        assert trained[0] in [r.id for r in latest("classics", ["random"])]
        with pytest.raises(ValueError, match="is no finished model"):
            Result.read(trained[1])
    finally:
        client.restore_run(trained[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runs", "{0},{4}"], "cannot be compared: the data differ"),
        (["--dataset", "o'brien"], "No finished run on dataset=o'brien"),
        (["--timed", "-1"], "timed must be 0 or more, got -1"),
        (["--runs", "{0}", "--out", "x.html"], "out=x.html must end in .md"),
        (["--dataset", "nothing"], "No finished run on dataset=nothing to compare"),
        (["--runs", "0123"], "Run '0123' is not in"),
    ],
)
def test_what_cannot_be_compared_is_refused(trained, options, said):
    done = compare(*(option.format(*trained) for option in options))
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
