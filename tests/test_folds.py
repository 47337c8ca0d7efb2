"""Trainings on all folds: one run per fold below one run, resumed fold by fold."""

import json
import subprocess
import sys
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from described import description_of

from supervision.models.families import get_family
from tracking import child_training, runs
from tracking.comparison.report import publish
from tracking.comparison.results import Result, model_location, newest_of_each_kind
from tracking.evaluation_report import BASELINES
from tracking.folds import FOLD_TAG, train_folds

FAMILY = get_family("composition")
OPTIONS = {"dataset": "classics", "split": "novel", "folds": 3}


@pytest.fixture
def trainings(own_store, own_cache, monkeypatch):
    """Stands in for the trainings of folds: each leaves a finished run with its predictions."""
    trained = []

    def run_command(entry_point, options, tags):
        fold = options["fold"]
        trained.append(fold)
        with mlflow.start_run(nested=True, tags=tags, run_name=f"x · fold {fold} of 3 · y"):
            params = {"dataset_hash": options.get("hash", "d"), "split_hash": f"s{fold}"}
            mlflow.log_params(params | {"fold": fold, "folds": 3, "model": "boosting"})
            mlflow.set_tags({"model_family": "composition", "dataset": "classics"})
            mlflow.set_tags({"split": "novel"})
            mlflow.log_metrics({"train_minutes": 2.0, "test_mae": 1.0})
            runs.log_table(predictions(fold), "predictions.csv")
        return 0

    monkeypatch.setattr(child_training, "_run_command", run_command)
    return trained


def predictions(fold):
    """Eight test materials of this fold and eight validation materials of another."""
    rows = [
        {"material_id": f"m{8 * (fold + k) % 24 + i}", "formula": "Nb", "split": part}
        for k, part in enumerate(("test", "val"))
        for i in range(8)
    ]
    table = pd.DataFrame(rows)
    tc = np.arange(len(table), dtype=float)
    table = table.assign(tc=tc, tc_pred=tc + fold, **dict.fromkeys(BASELINES, 5.0))
    return table.assign(family=table["material_id"], group=table["material_id"])


def train(options=OPTIONS, settings=None):
    with mlflow.start_run() as run:
        train_folds(FAMILY, options, 3, settings or {})
    return run.info.run_id


def test_every_material_is_evaluated_once_by_the_model_of_its_fold(trainings):
    run = train()
    assert trainings == [1, 2, 3]
    table = runs.read_table(run, "predictions.csv")
    test = table[table["split"] == "test"]
    assert len(test) == 24 == test["material_id"].nunique()
    np.testing.assert_allclose(test["tc_pred"] - test["tc"], test["fold"])
    data = mlflow.get_run(run).data
    assert data.metrics["test_mae"] == pytest.approx(2.0)
    assert data.metrics["train_minutes"] == 6.0
    assert {"test_spearman", "test_mae_low", "null_nearest_composition_test_mae"} <= set(
        data.metrics
    )
    assert data.params["folds"] == "3" and data.params["fold"] == "0"
    assert data.tags["mlflow.runName"] == "x · 3 folds · y"
    description_of(run, "on 3 folds", "Test MAE 2.00 K", "predictions.csv")


def test_folds_that_have_finished_are_not_trained_again(trainings, monkeypatch):
    whole = child_training._run_command

    def dies_at_fold_2(entry_point, options, tags):
        return 9 if options["fold"] == 2 else whole(entry_point, options, tags)

    monkeypatch.setattr(child_training, "_run_command", dies_at_fold_2)
    with pytest.raises(ChildProcessError, match=r"fold 2 of 3 ended with exit status 9"):
        train()
    monkeypatch.setattr(child_training, "_run_command", whole)
    train()
    assert trainings == [1, 2, 3]
    train()
    assert trainings == [1, 2, 3]


def test_other_options_and_other_settings_are_trained_separately(trainings):
    train()
    train(OPTIONS | {"trees": 20})
    train(settings={"trees": 20})
    assert trainings == 3 * [1, 2, 3]
    train(OPTIONS | {"config": "best.json"}, {"trees": 20})
    assert trainings == 3 * [1, 2, 3]  # the content of the file counts, not its name


def test_folds_of_different_data_are_not_put_together(trainings, monkeypatch):
    whole = child_training._run_command
    monkeypatch.setattr(
        child_training,
        "_run_command",
        lambda entry_point, options, tags: whole(
            entry_point, options | {"hash": f"d{options['fold']}"}, tags
        ),
    )
    with pytest.raises(ValueError, match="The data set has changed since the first folds"):
        train()


def test_folds_are_compared_as_one_result_and_their_runs_are_not(trainings):
    run = train()
    (found,) = newest_of_each_kind("classics")
    assert found.id == run and found.split == "novel, 3 folds" and found.has_folds
    assert found.groups is not None
    child = mlflow.search_runs(filter_string=f"tags.{FOLD_TAG} = '1'", output_format="list")[0]
    with pytest.raises(ValueError, match="not a finished run of this project"):
        Result.read(child.info.run_id)


def test_the_report_names_files_and_params_of_folds_without_spaces(trainings, tmp_path):
    train()
    out = tmp_path / "page.md"
    results = newest_of_each_kind("classics")
    with mlflow.start_run() as run:
        publish(results, timed=0, out=out)
    assert "split_hash_novel_3_folds" in mlflow.get_run(run.info.run_id).data.params
    assert "(page/parity_novel_3_folds.png)" in out.read_text()


def test_the_model_of_the_first_fold_is_timed(trainings):
    train()
    (found,) = newest_of_each_kind("classics")
    child = mlflow.search_runs(filter_string=f"tags.{FOLD_TAG} = '1'", output_format="list")[0]
    assert model_location(found) == f"runs:/{child.info.run_id}/model"
    train()  # its folds have finished below the earlier run
    (again,) = newest_of_each_kind("classics")
    assert again.id != found.id and model_location(again) == model_location(found)


def test_an_ensemble_of_folds_has_no_model_to_be_timed(trainings):
    train()
    (found,) = newest_of_each_kind("classics")
    with pytest.raises(ValueError, match="its folds made no model"):
        model_location(replace(found, fold_runs=""))


@pytest.mark.long  # 26 s
def test_the_command_trains_all_folds_and_each_is_a_child_run(store):
    folder, environment = store
    command = [sys.executable, "-m", "entrypoints.train", "composition", "--folds", "2"]
    command += ["--limit", "60", "--split", "family", "--trees", "20"]
    root = str(child_training.__file__).rpartition("/tracking/")[0]
    environment = environment | {"PYTHONPATH": root}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    parent = done.stdout.rstrip().rpartition("Run ")[2]
    table = runs.read_table(parent, "predictions.csv")
    assert (table["split"] == "test").sum() == 60
    children = mlflow.search_runs(
        filter_string=f"tags.`mlflow.parentRunId` = '{parent}'",
        search_all_experiments=True,
        output_format="list",
    )
    assert sorted(child.data.tags[FOLD_TAG] for child in children) == ["1", "2"]
    assert not mlflow.MlflowClient().search_registered_models()
    identity = mlflow.get_run(parent).data.params
    assert json.loads(identity["folds"]) == 2 and identity["materials"] == "60"
