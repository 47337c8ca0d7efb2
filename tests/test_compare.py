"""The comparison: its findings for made-up numbers, and its report of real runs."""

import errno
import os
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from described import description_of
from typer.testing import CliRunner

from entrypoints import compare as entry
from entrypoints import train_composition
from supervision.evaluation.metrics import all_metrics, mae
from tracking import runs
from tracking.comparison import report as report_module
from tracking.comparison import results
from tracking.comparison.differences import (
    best_of_families,
    best_on_validation,
    difference,
    ranked,
)
from tracking.comparison.findings import findings
from tracking.comparison.html_page import Page
from tracking.comparison.results import (
    ModelKind,
    Result,
    check_comparable,
    from_file,
    model_family_of,
    newest_of_each_kind,
    predictor_folder,
    with_unique_names,
)
from tracking.comparison.tables import (
    band_table,
    cost_table,
    expectation_table,
    main_table,
    mean_table,
    pair_table,
    rank_correlation,
)
from tracking.serving.downloads import download

RNG = np.random.default_rng(0)
TC = RNG.gamma(0.6, 12, 400)
HASHES = {"dataset_hash": "d", "split_hash": "s"}
TREES_KIND = ModelKind("composition", "extra_trees")
GRAPH_KIND = ModelKind("graph", "alignn_ff", pretrained=True, adapt="full")
HEAD_KIND = ModelKind("graph", "alignn_ff", pretrained=True, adapt="linear")
SCRATCH_KIND = ModelKind("graph", adapt="full")
VISION_KIND = ModelKind("vision", "dinov3_vitb16", pretrained=True, adapt="lora")


def result(kind, error, split="random", **changes):
    """A model whose predictions have normally distributed errors of this size."""
    name = kind.label
    errors = np.random.default_rng(len(name)).normal(0, error, len(TC))
    index = pd.Index([f"m{i:03}" for i in range(len(TC))], name="material_id")
    test = pd.DataFrame({"tc": TC, "tc_pred": TC + errors}, index=index)
    constant = all_metrics(TC, np.full(len(TC), 3.0)) | {
        f"{m}_{end}": 0.0 for m in ("mae", "rmse", "r2") for end in ("low", "high")
    }
    paired = {"difference": -2.0, "low": -3.0, "high": -1.0, "p": 0.0005}
    constant |= {f"model_minus_null_{key}": value for key, value in paired.items()}
    settings = {
        "id": f"{name}-id", "name": name, "kind": kind, "dataset": "classics", "split": split,
        "split_hash": "s",
        "params": HASHES | {"parameters": "4000000", "trained_parameters": "1000000"},
        "metrics": {"train_minutes": 2.0, "val_mae_final": 3.0}, "curve": {0: 4.0, 1: 3.0},
        "comparison": pd.DataFrame([{"predictor": "constant median"} | constant]),
        "bands": pd.DataFrame([{"band": "40+", "n": 3, "mae": 9.0, "bias": -8.0}]), "test": test,
    }  # fmt: skip
    return Result(**(settings | changes))


TREES = result(TREES_KIND, 2.0)
GRAPH = result(GRAPH_KIND, 1.0)
SCRATCH = result(SCRATCH_KIND, 3.0)
VISION = result(VISION_KIND, 2.05)
ZERO_SHOT = result(ModelKind("zero_shot", "jarvis_supercon"), 9.0)
CONSTANT = result(ModelKind("constant"), 12.0)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (TREES_KIND, "composition: extra trees"),
        (GRAPH_KIND, "graph: alignn_ff, fine-tuned"),
        (HEAD_KIND, "graph: alignn_ff, head alone"),
        (VISION_KIND, "vision: dinov3_vitb16, LoRA"),
        (SCRATCH_KIND, "graph: from scratch"),
        (ModelKind("graph", adapt="linear"), "graph: from scratch, head alone"),
        (ModelKind("zero_shot", "jarvis_supercon"), "zero-shot: jarvis_supercon"),
        (ModelKind("constant"), "constant"),
        (ModelKind("file", "trees_on_states"), "trees on states"),
    ],
)
def test_every_kind_of_model_has_a_label(kind, label):
    assert kind.label == label


@pytest.mark.parametrize("key", ["model_family", "pipeline"])
def test_the_kind_of_a_run_is_read_from_its_tags_also_from_those_of_earlier_code(key):
    tags = {key: "graph", "weights": "alignn_ff", "pretrained": "true"}
    assert model_family_of(tags) == "graph"
    assert ModelKind.of(tags, {"adapt": "full"}) == GRAPH_KIND
    scratch = tags | {"weights": "none", "pretrained": "false"}
    assert ModelKind.of(scratch, {"adapt": "full"}) == SCRATCH_KIND
    assert ModelKind.of({key: "zero_shot", "source": "x"}, {}) == ModelKind("zero_shot", "x")
    assert ModelKind.of({key: "composition"}, {"model": "extra_trees"}) == TREES_KIND
    ranks = {"model": "boosting", "calibrate": "True", "target": "rank", "extra": "supercon"}
    label = "structure: boosting, calibrated, ranks + supercon"
    assert ModelKind.of({key: "structure"}, ranks).label == label
    assert ModelKind.of({key: "constant"}, {}) == ModelKind("constant")
    assert model_family_of({"split": "random"}) == ""


def test_the_empty_extra_of_mlflow_run_names_no_other_sources(own_store):
    with runs.tracked_run("test"):
        mlflow.set_tag("model_family", "composition")
        mlflow.log_params({"model": "extra_trees", "extra": "''"})
        run = runs.run_id()
    assert results._kind(mlflow.get_run(run)) == TREES_KIND


def test_models_are_ordered_by_their_test_error():
    assert ranked([ZERO_SHOT, TREES, GRAPH], "random") == [GRAPH, TREES, ZERO_SHOT]


def test_a_difference_is_computed_on_the_same_materials():
    d = difference(GRAPH, SCRATCH)
    ours, theirs = (mae(TC, r.test["tc_pred"].to_numpy()) for r in (GRAPH, SCRATCH))
    assert d.difference == pytest.approx(ours - theirs)
    assert d.is_shown and d.high < 0


def test_a_split_on_which_the_baseline_is_first_comes_first():
    family = [result(TREES_KIND, 1.0, "family"), result(GRAPH_KIND, 2.0, "family")]
    found = findings([GRAPH, TREES, *family])
    assert found[0].startswith("**On `family`, trees on the composition alone are first**")
    assert "Graph: alignn_ff, fine-tuned is worse than composition: extra trees" in found[0]
    assert found[1].startswith("**On `random`, graph: alignn_ff, fine-tuned is first**")
    assert "is better than composition: extra trees" in found[1]


def test_a_difference_that_is_not_shown_is_reported_as_such():
    found = findings([TREES, VISION])
    assert "are not shown to differ" in found[0]
    assert any("no difference is shown between" in text for text in found)


def test_pretraining_and_model_families_are_compared():
    found = " ".join(findings([TREES, GRAPH, SCRATCH, VISION, ZERO_SHOT]))
    assert "pretraining improves the graph family" in found
    assert "of the model families that are trained by epochs" in found
    assert "Graph: alignn_ff, fine-tuned is better than vision: dinov3_vitb16, LoRA" in found
    assert "zero-shot: jarvis_supercon is better than the constant median" in found


def test_findings_do_not_depend_on_display_names():
    """Two scratch runs of one kind have their ids in their names; a weights file has any name."""
    again = result(SCRATCH_KIND, 3.1, id="second-run")
    odd = result(ModelKind("graph", "trained from scratch", pretrained=True, adapt="full"), 1.0)
    models = with_unique_names([TREES, odd, SCRATCH, again])
    found = " ".join(findings(models))
    assert "pretraining improves the graph family (graph: trained from scratch, fine" in found
    renamed = [result(r.kind, 1.0, name=f"model {i}", test=r.test) for i, r in enumerate(models)]
    count = len(findings(models))
    assert len(findings(renamed)) == count
    assert "pretraining improves the graph family (model 1 minus model 2" in " ".join(
        findings(renamed)
    )


def test_the_best_model_of_a_family_is_chosen_on_validation_and_not_on_test():
    lucky = result(HEAD_KIND, 0.5, metrics={"val_mae_final": 9.0})
    found = " ".join(findings([TREES, lucky, GRAPH, SCRATCH, VISION]))
    assert "graph: alignn_ff, fine-tuned minus graph: from scratch" in found
    assert best_on_validation([lucky, GRAPH]) == GRAPH
    assert best_of_families([lucky, GRAPH, TREES]) == {"graph": GRAPH, "composition": TREES}


def test_a_model_that_does_not_beat_the_trivial_baselines_is_reported():
    bad = ModelKind("vision", "x", pretrained=True, adapt="lora")
    assert "no better than the trivial baselines" in findings([result(bad, 90.0)])[0]
    assert "; the trivial baselines: constant median" in findings([GRAPH])[0]


def test_pretraining_without_a_gain_is_reported():
    found = findings([GRAPH, result(SCRATCH_KIND, 1.01, test=GRAPH.test)])
    assert any("pretraining shows no gain for the graph family" in text for text in found)


def test_a_missing_baseline_is_reported():
    assert "No trees on the composition alone were compared" in findings([GRAPH, VISION])[0]


def test_the_constant_family_is_compared_as_any_other():
    models = [TREES, GRAPH, CONSTANT]
    assert main_table(models)["model"].tolist()[-1] == "constant"
    assert mean_table(models, "random").iloc[-1, 0] == "constant"
    assert any(text.startswith("On `random`, constant") for text in findings(models))
    same = CONSTANT.test.assign(tc_pred=3.0)
    assert np.isnan(rank_correlation(result(ModelKind("constant"), 1.0, test=same)))


def test_tables_have_one_row_per_model_and_per_pair():
    results = [TREES, GRAPH, result(GRAPH_KIND, 4.0, "family")]
    table = main_table(results).set_index("model")
    assert list(table.index) == [
        "constant median",
        "graph: alignn_ff, fine-tuned", "composition: extra trees",
    ]  # fmt: skip
    assert table.loc["composition: extra trees", "family: MAE (K)"] == "–"
    value = all_metrics(TC, GRAPH.test["tc_pred"].to_numpy())["mae"]
    assert table.loc[GRAPH.name, "random: MAE (K)"].startswith(f"{value:.2f} (")
    pairs = pair_table(results, "random")
    assert len(pairs) == 1 + 2  # one pair of models, and each with the constant
    assert band_table(results, "random").iloc[0, 1] == "9.00 (-8.0)"
    cost = cost_table(results, {GRAPH.id: "12"}).set_index("model")
    assert cost.loc[GRAPH.name, "ms per crystal"].tolist() == ["12", "12"]
    assert cost.loc[TREES.name, ["parameters", "trained"]].tolist() == ["4.00 M", "25.0%"]


def test_the_mean_with_the_baseline_shows_what_a_model_adds():
    """The mean of two models with opposite errors has no error."""
    test, baseline = (GRAPH.test.assign(tc_pred=TC + error) for error in (2.0, -2.0))
    models = [
        result(TREES_KIND, 1.0, test=baseline),
        result(GRAPH_KIND, 1.0, test=test),
        result(VISION_KIND, 1.0, test=baseline),
    ]
    table = mean_table(models, "random")
    name = "mean of composition: extra trees and"
    assert dict(zip(table[name], table["MAE (K)"], strict=True)) == {
        "graph: alignn_ff, fine-tuned": "0.00",
        "vision: dinov3_vitb16, LoRA": "2.00",
    }
    found = findings(models)
    assert any("fine-tuned adds to the baseline (the mean of both minus" in t for t in found)
    assert any("LoRA is not shown to add to the baseline" in text for text in found)
    assert mean_table(models[1:], "random").empty


def test_expectation_table_is_by_band_of_predicted_tc():
    tc, tc_pred = [0.0, 0.0, 3.0, 20.0, 100.0], [0.5, 2.0, 4.0, 10.0, 60.0]
    index = pd.Index([f"m{i}" for i in range(5)], name="material_id")
    test = pd.DataFrame({"tc": tc, "tc_pred": tc_pred}, index=index)
    model = result(ModelKind("x", "y"), 1.0, test=test)
    assert expectation_table(model).values.tolist() == [
        ["below 1", 1, "0.0 to 0.0", "100%", "0.5"],
        ["1 to 5", 2, "0.3 to 2.7", "50%", "1.5"],
        ["5 to 15", 1, "20.0 to 20.0", "0%", "10.0"],
        ["over 40", 1, "100.0 to 100.0", "0%", "40.0"],
    ]
    assert rank_correlation(model) == pytest.approx(9.5 / 95**0.5)  # two of five share a rank


def test_different_data_and_splits_are_refused():
    other = result(VISION_KIND, 1.0, split_hash="another")
    with pytest.raises(ValueError, match="their 'random' splits differ"):
        check_comparable([GRAPH, other])
    other = result(VISION_KIND, 1.0, "family", params=HASHES | {"dataset_hash": "another"})
    with pytest.raises(ValueError, match="cannot be compared: the data differ"):
        check_comparable([GRAPH, other])
    fewer = result(VISION_KIND, 1.0, test=GRAPH.test.iloc[1:])
    with pytest.raises(ValueError, match="have different test materials"):
        check_comparable([GRAPH, fewer])


def test_two_runs_of_one_kind_get_different_names():
    again = result(GRAPH_KIND, 4.0, id="second-run")
    both = with_unique_names([GRAPH, again, GRAPH])
    assert [r.name for r in both] == [f"{GRAPH.name} (graph: a)", f"{GRAPH.name} (second-r)"]
    rows = main_table(both).set_index("model")["random: MAE (K)"]
    assert rows.iloc[-2] != rows.iloc[-1]


@pytest.fixture
def beside(tmp_path):
    """A valid table of predictions from elsewhere, and the path to write it to."""
    table = GRAPH.test.reset_index().assign(split="test", tc_pred=TC)
    return table.sample(frac=1, random_state=0), tmp_path / "trees_on_states.csv"


def test_predictions_from_elsewhere_are_compared(beside):
    table, path = beside
    table.to_csv(path, index=False)
    found = from_file(path, [GRAPH])
    assert found.name == "trees on states"
    assert ranked([GRAPH, found], "random")[0] == found
    assert found.name in main_table([GRAPH, found])["model"].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[1:], "not of the test materials"),
        (lambda t: t.drop(columns=["split", "tc"]), "has no column split, tc"),
        (lambda t: t.assign(tc=t["tc"] * 100), "another measured Tc"),
        (lambda t: t.assign(tc_pred=np.nan), "predictions that are not numbers"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "not of the test materials"),
    ],
    ids=["fewer", "columns", "other Tc", "no numbers", "twice"],
)
def test_predictions_that_do_not_fit_are_refused_by_name(beside, change, message):
    table, path = beside
    change(table).to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"trees_on_states\.csv .*{message}"):
        from_file(path, [GRAPH])


def test_html_in_names_is_escaped():
    page, evil = Page("x"), "<img src=x onerror=alert(1)>"
    page.bullets([evil])
    page.text(evil)
    page.table(pd.DataFrame({evil: [evil]}))
    assert "<img" not in page.html()


def test_the_html_page_contains_its_images(tmp_path):
    page = Page("A title")
    page.heading("Part")
    page.table(pd.DataFrame({"a | b": ["x"], "n": ["1"]}), folded="All of it")
    page.image("dot", b"\x89PNG", "a dot")
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
    """Runs of two kinds on two splits, one kind twice, and one with a limit."""
    before, here, folder = mlflow.get_tracking_uri(), Path.cwd(), tmp_path_factory.mktemp("store")
    shutil.copy(database, folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    os.chdir(folder)
    runs = [train("--split", split) for split in ("random", "random", "family")]
    yield [*runs, train("--model", "boosting"), train("--limit", "100")]
    os.chdir(here)
    mlflow.set_tracking_uri(before)


def timed_once(milliseconds):
    """Times the first model; the others, for each of which a process would start, take as long."""
    found: list[float] = []

    def timed(model, count):
        found.extend(() if found else (milliseconds(model, count),))
        return found[0]

    return timed


def compare(*options):
    return CliRunner().invoke(entry.app, [*options])


@pytest.mark.slow
def test_the_newest_run_of_each_kind_is_reported(trained, tmp_path, monkeypatch):
    first, second, family, boosting, limited = trained
    monkeypatch.setattr(report_module, "milliseconds", timed_once(report_module.milliseconds))
    out = tmp_path / "there" / "report.md"
    done = compare("--dataset", "classics", "--timed", "2", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "trees on the composition alone are first" in done.output
    text, page = out.read_text(), out.with_suffix(".html").read_text()
    for run in (second, family, boosting):
        assert f"`{run[:8]}`" in text
    assert (
        f"`{first[:8]}`" not in text and f"`{limited[:8]}`" not in text
    )  # neither newest nor full
    assert len(re.findall(r"\| +\d+ \| +`", text)) == 3  # each was timed
    assert not re.search(r'(src|href)="(?!data:)', page)
    for name in re.findall(r"\]\((report/\w+\.png)\)", text):
        assert (out.parent / name).read_bytes().startswith(b"\x89PNG")
    assert len(re.findall(r"data:image/png", page)) == text.count(".png)") >= 5
    run = re.search(r"Run (\w+)", done.output)[1]
    name = mlflow.get_run(run).info.run_name
    assert name == "compare · classics · 3 models"
    description_of(run, "Comparison of ", "comparison.html", "constant median")
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(run)}
    assert {"comparison.md", "comparison.html", "comparison"} <= listed


@pytest.mark.slow
def test_the_error_says_why_a_predictor_cannot_be_downloaded(trained, monkeypatch):
    """The run has no artifact `predictor`, which must not hide that the disk is full."""
    run = Result.read(trained[0])
    assert predictor_folder(run.id).name == "predictor"

    def full(uri):
        if uri.endswith("/model"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return download(uri)

    monkeypatch.setattr("tracking.comparison.results.download", full)
    with pytest.raises(ValueError, match=f"Run {trained[0]} has no predictor .*No space left"):
        predictor_folder(run.id)


@pytest.mark.slow
def test_deleted_runs_are_not_compared(trained):
    client = mlflow.MlflowClient()
    client.delete_run(trained[1])
    try:
        assert trained[0] in [r.id for r in newest_of_each_kind("classics")]
        with pytest.raises(ValueError, match="is not a finished run"):
            Result.read(trained[1])
    finally:
        client.restore_run(trained[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runs", "{0},{4}"], "cannot be compared: the data differ"),
        (["--dataset", "o'brien"], "No finished run on dataset=o'brien"),
        (["--timed", "-1"], "timed must be 0 or more, got -1"),
        (["--runs", "{0}", "--out", "x.html"], "out=x.html must end in .md"),
        (
            ["--dataset", "nothing"],
            "No finished run on dataset=nothing to compare. Data sets with finished runs: "
            "classics (5).",
        ),
        (["--runs", "0123"], "Run '0123' is not in"),
    ],
)
def test_options_that_cannot_be_compared_are_refused(trained, options, message):
    done = compare(*(option.format(*trained) for option in options))
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


@pytest.mark.slow
def test_the_default_data_set_is_that_of_the_newest_run(trained):
    done = compare("--timed", "0")
    assert done.exit_code == 0, done.output
    run = re.search(r"Run (\w+)", done.output)[1]
    assert mlflow.get_run(run).data.tags["dataset"] == "classics"


def test_without_any_run_the_error_says_to_train(own_store):
    with pytest.raises(ValueError, match=r"no finished run to compare\. Train a model first"):
        newest_of_each_kind("")


@pytest.mark.slow
def test_runs_of_earlier_code_are_compared(trained):
    """They have the tag `pipeline` in place of `model_family`."""
    client = mlflow.MlflowClient()
    client.delete_tag(trained[1], "model_family")
    client.set_tag(trained[1], "pipeline", "composition")
    try:
        assert Result.read(trained[1]).kind == TREES_KIND
        assert trained[1] in [r.id for r in newest_of_each_kind("classics")]
    finally:
        client.set_tag(trained[1], "model_family", "composition")
