"""The champion rule, on a real registry with light model versions."""

from functools import partial
from types import SimpleNamespace

import mlflow
import pytest
from mlflow import MlflowClient

from tracking.serving.registry import Candidate, move_aliases
from tracking.train import MLflowLogger

NAME = "supervision-vision"


@pytest.fixture
def client(own_store):
    found = MlflowClient()
    found.create_registered_model(NAME)
    return found


def candidate(
    val_mae, *, dataset="classics", split="random", split_hash="s", limit=0, null=10.0, judged_on=42
):
    return Candidate(dataset, split, split_hash, val_mae, null, limit, judged_on)


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


def test_one_judged_on_a_handful_is_served_only_where_there_is_no_other(client):
    first, said = enter(client, candidate(0.1, dataset="mine", judged_on=2))
    assert holder(client, "champion") == first
    assert "judged on 2 validation materials, fewer than 30" in said[1]
    second, said = enter(client, candidate(9.9))
    assert holder(client, "champion") == second
    assert len(said) == 2
    enter(client, candidate(0.05, dataset="mine", judged_on=2))
    assert holder(client, "champion") == second
    assert holder(client, "champion-mine-random") == "3"


def test_a_full_one_judged_on_a_handful_gives_way_to_a_limited_one_that_was_not(client):
    enter(client, candidate(0.1, dataset="mine", judged_on=2))
    second, _ = enter(client, candidate(9.0, dataset="3dsc", limit=400))
    assert holder(client, "champion") == second


@pytest.mark.parametrize("dataset", ["My data (v2).csv", "3dsc", "Ünlü"])
def test_any_data_set_name_makes_a_valid_alias(client, dataset):
    _, said = enter(client, candidate(5.0, dataset=dataset))
    assert "there was none" in said[0]


@pytest.mark.parametrize("val_mae", [0.0, 1.0])
def test_a_set_whose_constant_is_perfect_does_no_harm(client, val_mae):
    """Mostly Tc 0: the median misses nothing on validation, and nothing can be better."""
    enter(client, candidate(val_mae, dataset="zeros", null=0.0))
    number, _ = enter(client, candidate(5.0))
    assert holder(client, "champion") == number


def test_a_version_that_somebody_else_registered_is_passed_over(client):
    version = client.create_model_version(NAME, source="file:///nowhere")
    for alias in ("champion-mine-random", "champion-classics-random"):
        client.set_registered_model_alias(NAME, alias, version.version)
    number, said = enter(client, candidate(5.0))
    assert holder(client, "champion") == number == holder(client, "champion-classics-random")
    assert "does not say how it was judged" in said[0]


def test_names_that_an_alias_cannot_hold_are_kept_apart():
    aliases = {candidate(1.0, dataset=name).alias for name in ("超伝導", "超导", "超导体")}
    assert len(aliases) == 3


def test_the_model_of_a_run_is_logged_once_and_again_where_it_has_learned_on(client, monkeypatch):
    logged = []
    monkeypatch.setattr(
        "tracking.serving.registry.log_predictor",
        lambda *what: logged.append(what) or f"models:/m-{len(logged)}",
    )

    def save(folder, weights):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)

    book, cif = MLflowLogger(), SimpleNamespace(cif="data_x")
    prepared = SimpleNamespace(part=lambda name: [SimpleNamespace(crystals=[cif])])
    task = SimpleNamespace(
        model_family="graph",
        origin=SimpleNamespace(license="none"),
        made_from=lambda prepared, run: {"run_id": run},
    )
    with mlflow.start_run() as run:
        for weights in (b"first", b"first", b"learned on"):
            book.model(task, prepared, partial(save, weights=weights))
    assert len(logged) == 2
    assert client.get_run(run.info.run_id).data.tags["model_uri"] == "models:/m-2"
