"""Models on materials of other sources: distances, new families, errors, the command."""

import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from described import description_of
from typer.testing import CliRunner

from entrypoints import cross as entry
from supervision.data.crystals import Material, material_key
from supervision.evaluation.by_distance import NEW_FAMILIES, errors_by_distance
from supervision.experiment.cross import OtherMaterials, fit_to_all
from supervision.experiment.spec import Experiment, split_materials
from supervision.models.families import default_configs, get_family
from tracking import runs

RNG = np.random.default_rng(2)


def material(formula, tc):
    return Material(material_key(formula), formula, tc, ())


KNOWN = [material("MgB2", 39.0), material("Nb3Sn", 18.0), material("NbN", 16.0)]


def test_a_composition_that_was_learned_from_is_left_out():
    others = OtherMaterials.beside(KNOWN, [material("Mg2B4", 38.0), material("NbC", 11.0)])
    assert [m.formula for m in others.materials] == ["NbC"]
    assert others.tc.tolist() == [11.0]


def test_distance_and_nearest_are_those_to_what_was_learned_from():
    others = OtherMaterials.beside(KNOWN, [material("TaN", 8.0), material("Nb0.77Sn0.23", 17.0)])
    np.testing.assert_allclose(others.distance, [1.0, 0.04])
    assert others.nearest.tolist() == [16.0, 18.0]
    assert others.constant.tolist() == [18.0, 18.0]
    assert others.is_new.tolist() == [True, False]


def test_no_material_is_left():
    others = OtherMaterials.beside(KNOWN, [material("MgB2", 1.0)])
    assert not others.materials and len(others.nearest) == len(others.distance) == 0


def test_errors_are_those_of_the_bin():
    distance = np.repeat([0.005, 0.3], 20)
    tc, groups = np.linspace(0, 39, 40), np.arange(40).astype(str)
    found = errors_by_distance(
        distance, distance > 0.1, tc, {"a": tc + 2, "b": tc * 0 + 10}, groups
    )
    bins = ["all", "0 to 0.01", "0.2 to 0.5", NEW_FAMILIES]
    assert found["bin"].drop_duplicates().tolist() == bins
    of_a = found[found["model"] == "a"]
    np.testing.assert_allclose(of_a["mae"], 2)
    np.testing.assert_allclose(of_a["spearman"], 1)
    assert of_a["n"].tolist() == [40, 20, 20, 20]
    assert of_a["distance"].tolist() == [0.1525, 0.005, 0.3, 0.3]
    assert found[found["model"] == "b"]["spearman"].isna().all()


def test_materials_without_a_common_element_are_in_the_last_bin_and_small_bins_are_left_out():
    distance = np.array([2.0] * 10 + [0.03] * 9)
    found = errors_by_distance(
        distance, np.zeros(19, dtype=bool), np.arange(19.0), {"a": np.arange(19.0)}, distance
    )
    assert found["bin"].tolist() == ["all", "1 to 2"]


def test_the_interval_is_that_of_families():
    tc, error = np.zeros(40), np.repeat(RNG.exponential(5, 4), 10)
    one, other = (
        errors_by_distance(np.ones(40), tc > 0, tc, {"a": error}, groups).iloc[0]
        for groups in (np.repeat(np.arange(4), 10), np.arange(40))
    )
    assert one["mae_high"] - one["mae_low"] > 1.5 * (other["mae_high"] - other["mae_low"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["composition", "vision"])
def test_a_model_learns_from_everything_and_networks_keep_the_validation_materials(
    name, monkeypatch
):
    family = get_family(name)
    setup = family.setup("none", "cpu", *default_configs(family, "classics", 42, {}))
    learned = {}

    def fit(train, val, **options):
        learned.update(train={m.id for m in train}, val={m.id for m in val})

    monkeypatch.setattr(setup.predictor, "fit", fit)
    splits = split_materials(Experiment(limit=60), lambda crystals: [], lambda rejects: None)
    fit_to_all(setup, splits)
    val = {m.id for m in splits.part("val")}
    held_out = val if family.has_epochs else set()
    assert learned["train"] == {m.id for m in splits.materials} - held_out
    assert learned["val"] == val


@pytest.mark.slow
def test_the_command_evaluates_what_each_model_can_read(own_store, tmp_path):
    table = tmp_path / "supercon.csv"
    formulas = [f"La{2 - x:.2f}Sr{x:.2f}Cu1O4" for x in np.linspace(0.02, 0.3, 15)]
    pd.DataFrame({"name": ["Mg1B2", *formulas], "Tc": 20.0}).to_csv(table, index=False)
    done = CliRunner().invoke(
        entry.app,
        ["--sources", "supercon", "--sources-data", f"supercon={table}", "--models",
         "composition,structure", "--limit", "60", "--out", str(tmp_path / "page.md")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "supercon has formulas without structures, which structure needs." in done.output
    found = runs.read_table(re.search(r"Run (\w+)", done.output)[1], "cross_supercon.csv")
    assert "MgB2" not in set(found["formula"]) and len(found) >= 14
    assert {"constant median", "nearest composition", "composition"} <= set(found.columns)
    assert "structure" not in found.columns
    assert "| new families |                 15 (1)" in (tmp_path / "page.md").read_text()
    run = mlflow.search_runs(output_format="list", search_all_experiments=True)[0]
    assert run.data.tags["model_family"] == "cross"
    description_of(run.info.run_id, "supercon: MAE in K: constant median", "cross.html")


def test_a_source_with_hardly_any_new_material_is_one_sentence(own_store, tmp_path):
    table = tmp_path / "supercon.csv"
    pd.DataFrame({"name": ["Mg1B2", "Ta1N1"], "Tc": 20.0}).to_csv(table, index=False)
    options = ["--sources", "supercon", "--sources-data", f"supercon={table}", "--limit", "60"]
    done = CliRunner().invoke(entry.app, [*options, "--models", "composition"])
    assert done.exit_code == 0, done.output
    assert "supercon has fewer than 10 materials that the data set does not have." in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sources", "nist"], "sources 'nist' is not one of supercon"),
        (["--sources", ""], "sources is empty"),
        (["--sources", "supercon", "--sources-data", "jarvis_supercon=x"], "not in sources"),
        (["--models", "oracle"], "models: 'oracle' is not one of"),
        (["--models", ""], "models is empty"),
        (["--out", "page.txt"], "must end in .md"),
    ],
)
def test_options_that_are_refused_are_named(own_store, options, message):
    done = CliRunner().invoke(entry.app, options)
    assert done.exit_code != 0
    assert message in " ".join(done.output.split())
