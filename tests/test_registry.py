"""The champion rule, on a real registry with light model versions."""

import mlflow
import pytest
from mlflow import MlflowClient

from tracking.registry import Candidate, move_aliases

NAME = "supervision-vision"


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    found = MlflowClient()
    found.create_registered_model(NAME)
    yield found
    mlflow.set_tracking_uri(before)


def candidate(val_mae, *, dataset="classics", split="random", split_hash="s", limit=0, null=10.0):
    return Candidate(dataset, split, split_hash, val_mae, null, limit)


def enter(client, new):
    """Register a version for ``new`` and apply the rule; returns its number and what was said."""
    version = client.create_model_version(NAME, source="file:///nowhere", tags=new.tags())
    return str(version.version), move_aliases(client, NAME, str(version.version), new)


def holder(client, alias):
    return str(client.get_model_version_by_alias(NAME, alias).version)


def test_the_first_run_takes_both_aliases(client):
    number, said = enter(client, candidate(5.0))
    assert holder(client, "champion-classics-random") == number == holder(client, "champion")
    assert said == [
        "champion-classics-random is now version 1: there was none.",
        "champion is now version 1 (champion-classics-random).",
    ]


@pytest.mark.parametrize(("val_mae", "moves"), [(4.9, True), (5.0, False), (5.1, False)])
def test_only_a_better_validation_mae_moves_it(client, val_mae, moves):
    first, _ = enter(client, candidate(5.0))
    second, said = enter(client, candidate(val_mae))
    assert holder(client, "champion-classics-random") == (second if moves else first)
    assert f"{val_mae:.3f} K against 5.000 K" in said[0]


def test_another_split_is_not_compared(client):
    first, _ = enter(client, candidate(5.0))
    _, said = enter(client, candidate(1.0, split_hash="other"))
    assert holder(client, "champion-classics-random") == first
    assert "cannot be compared" in said[0]


def test_a_limited_run_never_takes_from_a_full_one(client):
    first, _ = enter(client, candidate(5.0))
    _, said = enter(client, candidate(1.0, limit=40))
    assert holder(client, "champion-classics-random") == first == holder(client, "champion")
    assert "never replaces a full one" in said[0]


def test_a_full_run_takes_from_a_limited_one_even_when_worse(client):
    enter(client, candidate(1.0, limit=40))
    second, _ = enter(client, candidate(5.0))
    assert holder(client, "champion-classics-random") == second == holder(client, "champion")


def test_3dsc_random_is_the_champion_once_it_is_there(client):
    enter(client, candidate(1.0))
    assert holder(client, "champion") == "1"
    enter(client, candidate(2.0, dataset="3dsc", split="family"))
    assert holder(client, "champion") == "1"
    number, _ = enter(client, candidate(8.0, dataset="3dsc"))
    assert holder(client, "champion") == number
    enter(client, candidate(0.5, split_hash="s"))
    assert holder(client, "champion") == number


def test_a_limited_3dsc_run_does_not_unseat_a_full_one_of_another_set(client):
    first, _ = enter(client, candidate(5.0))
    enter(client, candidate(1.0, dataset="3dsc", limit=400))
    assert holder(client, "champion-3dsc-random") == "2"
    assert holder(client, "champion") == first


def test_before_that_the_best_against_its_null_is_served(client):
    enter(client, candidate(5.0, null=10.0))
    number, _ = enter(client, candidate(6.0, dataset="mine", null=20.0))
    assert holder(client, "champion") == number


@pytest.mark.parametrize("dataset", ["My data (v2).csv", "3dsc", "Ünlü"])
def test_any_data_set_name_makes_a_valid_alias(client, dataset):
    _, said = enter(client, candidate(5.0, dataset=dataset))
    assert "there was none" in said[0]
