"""The champion rule, on a real registry whose versions have no model files."""

import threading
import time
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from described import description_of
from mlflow import MlflowClient

from supervision.data.quantity import TC
from supervision.evaluation.paired_difference import PairedDifference
from tracking import evaluation_report, runs
from tracking.evaluation_report import describe_evaluation, log_evaluation, summary
from tracking.mlflow_logger import MLflowLogger
from tracking.serving import registry
from tracking.serving.champion import Candidate
from tracking.serving.registry import best_version, move_aliases

NAME = "supervision-vision"


@pytest.fixture
def client(own_store):
    found = MlflowClient()
    found.create_registered_model(NAME)
    return found


def candidate(
    val_mae,
    *,
    dataset="classics",
    split="random",
    split_hash="s",
    limit=0,
    constant=10.0,
    n=42,
    half_width=0.01,
):
    """A candidate whose interval extends by ``half_width`` on both sides."""
    d = val_mae - constant
    difference = PairedDifference(d, d - half_width, d + half_width, n)
    return Candidate(dataset, split, split_hash, val_mae, constant, limit, n, difference)


def enter(client, new, name=NAME):
    """Register a version for ``new`` and apply the rule; returns its number and the messages."""
    version = client.create_model_version(name, source="file:///nowhere", tags=new.tags())
    return str(version.version), move_aliases(client, name, str(version.version), new)


def holder(client, alias, name=NAME):
    return str(client.get_model_version_by_alias(name, alias).version)


def has_champion(client, name=NAME):
    return "champion" in client.get_registered_model(name).aliases


def test_the_first_run_takes_both_aliases(client):
    number, messages = enter(client, candidate(5.0))
    assert holder(client, "champion-classics-random") == number == holder(client, "champion")
    assert messages == [
        "champion-classics-random is now version 1: no version held it.",
        "champion is now version 1 (champion-classics-random).",
    ]


@pytest.mark.parametrize(("val_mae", "moves"), [(4.9, True), (5.0, False), (5.1, False)])
def test_only_a_lower_validation_mae_takes_the_alias(client, val_mae, moves):
    first, _ = enter(client, candidate(5.0))
    second, messages = enter(client, candidate(val_mae))
    assert holder(client, "champion-classics-random") == (second if moves else first)
    assert f"{val_mae:.3f} K against 5.000 K" in messages[0]


def test_errors_are_compared_as_they_are_stored_in_the_tags(client):
    """The fifth decimal is not stored, so it must not decide."""
    first, _ = enter(client, candidate(5.00004))
    assert client.get_model_version(NAME, first).tags["val_mae"] == "5.0"
    enter(client, candidate(5.00001))
    assert holder(client, "champion-classics-random") == first


def test_the_tags_of_a_version_give_its_candidate_back(client):
    new = candidate(5.123456789, half_width=1 / 3)
    number, _ = enter(client, new)
    assert Candidate.of(client.get_model_version(NAME, number)) == new
    assert new.tags()["val_minus_constant_high"] == "-4.5432"


@pytest.mark.parametrize("n", [{}, {"judged_on": "872"}])
def test_versions_of_earlier_code_are_compared_with_the_constant_by_their_errors(client, n):
    tags = {"dataset": "3dsc", "split": "random", "split_hash": "s", "limit": "0"}
    tags |= {"val_mae": "3.512345678", "null_mae": "8.9"} | n
    version = client.create_model_version(NAME, source="file:///nowhere", tags=tags)
    found = Candidate.of(version)
    assert found.val_mae == 3.5123
    assert found.validation_materials == int(n.get("judged_on", 30))
    assert found.beats_constant and found.against_constant is None


def test_a_version_of_earlier_code_with_few_validation_materials_is_not_shown_to_be_better(client):
    tags = {"dataset": "mine", "split": "random", "split_hash": "s", "limit": "0"}
    tags |= {"val_mae": "15.3", "null_mae": "19.8", "judged_on": "6"}
    version = client.create_model_version(NAME, source="file:///nowhere", tags=tags)
    assert not Candidate.of(version).beats_constant


def test_another_split_is_not_compared(client):
    first, _ = enter(client, candidate(5.0))
    _, messages = enter(client, candidate(1.0, split_hash="other"))
    assert holder(client, "champion-classics-random") == first
    assert "cannot be compared" in messages[0]


def test_a_limited_run_never_takes_the_alias_of_a_full_one(client):
    first, _ = enter(client, candidate(5.0))
    _, messages = enter(client, candidate(1.0, limit=40))
    assert holder(client, "champion-classics-random") == first == holder(client, "champion")
    assert "never replaces a full one" in messages[0]


def test_a_full_run_takes_the_alias_of_a_limited_one_even_when_worse(client):
    enter(client, candidate(1.0, limit=40))
    second, _ = enter(client, candidate(5.0))
    assert holder(client, "champion-classics-random") == second == holder(client, "champion")


def test_a_full_run_of_3dsc_random_is_the_champion(client):
    enter(client, candidate(1.0))
    assert holder(client, "champion") == "1"
    enter(client, candidate(2.0, dataset="3dsc", split="family"))
    assert holder(client, "champion") == "1"
    number, _ = enter(client, candidate(8.0, dataset="3dsc"))
    assert holder(client, "champion") == number
    enter(client, candidate(0.5, split_hash="s"))
    assert holder(client, "champion") == number


def test_a_full_run_of_3dsc_novel_comes_before_one_of_random(client):
    enter(client, candidate(1.0, dataset="3dsc"))
    number, _ = enter(client, candidate(6.0, dataset="3dsc", split="novel"))
    assert holder(client, "champion") == number
    enter(client, candidate(0.5, dataset="3dsc"))
    assert holder(client, "champion") == number


def test_a_limited_3dsc_run_does_not_replace_a_full_one_of_another_set(client):
    first, _ = enter(client, candidate(5.0))
    enter(client, candidate(1.0, dataset="3dsc", limit=400))
    assert holder(client, "champion-3dsc-random") == "2"
    assert holder(client, "champion") == first


def test_without_3dsc_the_lowest_error_relative_to_the_constant_is_the_champion(client):
    enter(client, candidate(5.0, constant=10.0))
    number, _ = enter(client, candidate(4.0, dataset="mine", constant=20.0))
    assert holder(client, "champion") == number


def test_a_model_that_is_not_shown_to_beat_the_constant_is_not_the_champion(client):
    """Its interval includes zero, though its error is lower."""
    number, messages = enter(client, candidate(8.4, constant=12.8, half_width=6.0))
    assert holder(client, "champion-classics-random") == number
    assert not has_champion(client)
    assert messages[1] == (
        "champion is not set: no version is shown to be better than the constant median on "
        "at least 30 validation materials (champion-classics-random: validation MAE 8.400 K, "
        "constant median 12.800 K: not shown to differ from the constant median (difference "
        "-4.40 K, 95% -10.40 to +1.60, n=42)). Use "
        "models:/supervision-vision@champion-classics-random or models:/supervision-vision/1."
    )
    second, _ = enter(client, candidate(9.9, dataset="mine"))
    assert holder(client, "champion") == second
    _, messages = enter(client, candidate(8.0, constant=12.8, half_width=6.0))
    assert holder(client, "champion") == second
    assert messages[1] == "champion stays with version 2 (champion-mine-random)."


def test_a_model_with_few_validation_materials_is_not_the_champion(client):
    """An interval of few materials is too narrow to show anything, however good it looks."""
    number, messages = enter(client, candidate(0.1, dataset="mine", n=6))
    assert holder(client, "champion-mine-random") == number
    assert not has_champion(client)
    assert "on 6 validation materials; at least 30 are needed" in messages[1]
    second, _ = enter(client, candidate(9.9))
    assert holder(client, "champion") == second


def test_a_champion_stays_where_no_version_is_shown_to_be_better_than_the_constant(client):
    enter(client, candidate(5.0, limit=40))
    _, messages = enter(client, candidate(9.0, half_width=6.0))  # full, so it takes the other alias
    assert holder(client, "champion-classics-random") == "2"
    assert holder(client, "champion") == "1"
    assert messages[1].startswith("champion stays with version 1: no other version is shown")


@pytest.mark.parametrize("dataset", ["My data (v2).csv", "3dsc", "Ünlü"])
def test_any_data_set_name_makes_a_valid_alias(client, dataset):
    _, messages = enter(client, candidate(5.0, dataset=dataset))
    assert "no version held it" in messages[0]


@pytest.mark.parametrize("val_mae", [0.0, 1.0])
def test_a_set_whose_constant_has_no_error_cannot_be_beaten(client, val_mae):
    """Mostly Tc 0: the median is right for all validation materials."""
    enter(client, candidate(val_mae, dataset="zeros", constant=0.0))
    number, _ = enter(client, candidate(5.0))
    assert holder(client, "champion") == number


def test_a_version_without_the_tags_of_this_project_loses_its_alias(client):
    version = client.create_model_version(NAME, source="file:///nowhere")
    for alias in ("champion-mine-random", "champion-classics-random"):
        client.set_registered_model_alias(NAME, alias, version.version)
    number, messages = enter(client, candidate(5.0))
    assert holder(client, "champion") == number == holder(client, "champion-classics-random")
    assert "does not say how it was evaluated" in messages[0]


def test_data_set_names_without_ascii_characters_have_different_aliases():
    aliases = {candidate(1.0, dataset=name).alias for name in ("超伝導", "超导", "超导体")}
    assert len(aliases) == 3


# --- two registrations at the same time


@pytest.fixture
def slow_read(monkeypatch):
    """Between reading an alias and setting it, a registration waits: all others read it too."""
    read = registry.alias_holder

    def slow(*arguments):
        found = read(*arguments)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(registry, "alias_holder", slow)


def race(*candidates):
    """Register all at the same time; returns the errors by version number."""
    barrier, failures = threading.Barrier(len(candidates)), []

    def run(new, uri):
        barrier.wait()
        try:
            registry.register(uri, "vision", new, {"model_uri": uri}, "text")
        except Exception as error:
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=(new, f"models:/m-{i}"))
        for i, new in enumerate(candidates)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    client = MlflowClient()
    return {
        str(v.version): float(v.tags["val_mae"])
        for v in client.search_model_versions(f"name = '{NAME}'")
    }


@pytest.fixture
def light_versions(client, monkeypatch):
    def create(uri, name, tags):
        return client.create_model_version(name, source="file:///nowhere", tags=tags)

    monkeypatch.setattr("mlflow.register_model", create)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [(4.0, 5.0), (5.0, 4.0), (5.0, 4.0, 4.5)])
def test_of_registrations_at_the_same_time_the_best_is_champion(
    client, light_versions, slow_read, errors
):
    found = race(*map(candidate, errors))
    for alias in ("champion", "champion-classics-random"):
        assert found[holder(client, alias)] == min(errors)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [(4.0, 5.0), (5.0, 4.0), (5.0, 4.0, 4.5)])
def test_the_best_is_champion_also_where_machines_share_no_lock(
    client, light_versions, slow_read, monkeypatch, errors
):
    monkeypatch.setattr(registry, "_registration_lock", lambda name: nullcontext())
    enter(client, candidate(9.0))
    found = race(*map(candidate, errors))
    for alias in ("champion", "champion-classics-random"):
        assert found[holder(client, alias)] == min(errors)


def test_a_better_version_registered_just_before_the_alias_is_set_keeps_it(client, monkeypatch):
    """Another machine registers it after this one has decided, and before it sets the alias."""
    enter(client, candidate(9.0))
    set_alias, better = MlflowClient.set_registered_model_alias, []

    def interrupted(self, *arguments):
        if not better:
            better.append("")
            better[0], _ = enter(client, candidate(4.0))
        set_alias(self, *arguments)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", interrupted)
    _, messages = enter(client, candidate(5.0))
    for alias in ("champion", "champion-classics-random"):
        assert holder(client, alias) == better[0]
    assert messages[0] == (
        "champion-classics-random is now version 3: validation MAE 5.000 K against 4.000 K on the "
        "same split."
    )


def test_registrations_of_one_machine_do_not_overlap(client, light_versions, monkeypatch):
    running, most = [], []
    move = registry.move_aliases

    def watched(*arguments):
        running.append(1)
        most.append(len(running))
        time.sleep(0.2)
        running.pop()
        return move(*arguments)

    monkeypatch.setattr(registry, "move_aliases", watched)
    race(candidate(4.0), candidate(5.0), candidate(6.0))
    assert most == [1, 1, 1]


# --- the version that answers by default


def test_the_best_version_is_found_over_all_model_families(client):
    for name in ("supervision-graph", "supervision-composition"):
        client.create_registered_model(name)
    enter(client, candidate(5.0))
    number, _ = enter(client, candidate(4.0), name="supervision-graph")
    assert best_version(client)[:2] == ("supervision-graph", number)
    number, _ = enter(client, candidate(9.0, dataset="3dsc"), name="supervision-composition")
    *found, why = best_version(client)
    assert found == ["supervision-composition", number, "3dsc"]
    assert why == "The best model so far, of the random split of 3dsc."


def test_without_a_champion_the_best_version_says_what_is_not_shown(client):
    """As after the demonstration on `classics`."""
    number, _ = enter(client, candidate(8.4, constant=12.8, half_width=6.0))
    enter(client, candidate(0.1, dataset="mine", n=6))
    *found, why = best_version(client)
    assert found == [NAME, number, "classics"]
    assert why.startswith("No model is shown to be better than the constant median yet")
    assert "-4.40 K, 95% -10.40 to +1.60, n=42" in why


def test_a_champion_that_somebody_set_by_hand_is_taken(client):
    version = client.create_model_version(NAME, source="file:///nowhere")
    client.set_registered_model_alias(NAME, "champion", version.version)
    enter(client, candidate(8.4, half_width=6.0))
    assert best_version(client)[:2] == (NAME, "1")


def test_without_a_registered_model_there_is_no_best_version(own_store):
    assert best_version(MlflowClient()) is None


# --- what a run says of its model


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-2.1, -0.3, "better than the constant by 1.20 K (95% 0.30 to 2.10, n=872)"),
        (0.3, 2.1, "worse than the constant by 1.20 K (95% 0.30 to 2.10, n=872)"),
        (
            -2.6,
            0.2,
            "not shown to differ from the constant (difference -1.20 K, 95% -2.60 to +0.20, n=872)",
        ),
    ],
)
def test_a_difference_is_described_by_its_interval(low, high, text):
    difference = 1.2 if low > 0 else -1.2
    assert PairedDifference(difference, low, high, 872).describe("the constant") == text


def test_a_lower_error_on_few_materials_is_not_called_better(own_store):
    """15.3 K against 19.8 K on six materials, p 0.79."""
    tc = np.array([0.0, 5.0, 9.0, 20.0, 40.0, 90.0])
    tc_pred = np.array([30.0, 2.0, 30.0, 20.0, 40.0, 55.0])
    rows = [
        {"material_id": f"{part}{i}", "formula": "", "split": part, "tc": a, "tc_pred": b}
        for part in ("val", "test")
        for i, (a, b) in enumerate(zip(tc, tc_pred, strict=True))
    ]
    table = pd.DataFrame(rows).assign(**dict.fromkeys(evaluation_report.BASELINES, 7.0))
    table = table.assign(family=table["material_id"], group=table["material_id"])
    with runs.tracked_run("test"):
        run = runs.run_id()
        evaluation = log_evaluation(table, (), "title")
        describe_evaluation(evaluation, "A test.")
    text = summary(evaluation)
    assert evaluation.metrics["test_mae"] < evaluation.metrics["null_constant_median_test_mae"]
    assert "not shown to differ from the constant median's 23.33 K" in text
    assert "n=6" in text
    assert description_of(run).partition("\n")[2].startswith(f"A test.\n{text}\n\n")


def test_the_model_of_a_run_is_logged_again_only_where_it_has_changed(client, monkeypatch):
    logged = []
    monkeypatch.setattr(
        "tracking.serving.registry.log_predictor",
        lambda *what: logged.append(what) or f"models:/m-{len(logged)}",
    )

    def save(folder, weights):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)

    logger, cif = MLflowLogger(), SimpleNamespace(cif="data_x")
    splits = SimpleNamespace(
        part=lambda name: [SimpleNamespace(crystals=[cif])],
        training=lambda: [],
        dataset=SimpleNamespace(name="classics"),
    )
    spec = SimpleNamespace(
        model_family="graph",
        learned=lambda splits: [],
        weights=SimpleNamespace(license="none"),
        provenance=lambda splits, run: {"run_id": run},
        quantity=TC,
    )
    with runs.tracked_run("test"):
        run = runs.run_id()
        for weights in (b"first", b"first", b"trained further"):
            logger.log_model(spec, splits, partial(save, weights=weights), [])
    assert len(logged) == 2
    assert client.get_run(run).data.tags["model_uri"] == "models:/m-2"


def test_a_saved_predictor_without_its_family_is_not_logged(tmp_path):
    (tmp_path / "config.json").write_text('{"config": {}}')
    with pytest.raises(ValueError, match="has model_family=None, not constant: its save"):
        registry.log_predictor(tmp_path, "constant", "", "none")
