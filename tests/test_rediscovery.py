"""The ranks of an unseen class: hand-worked values, ties, chance, and what must not matter."""

from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import mlflow
import numpy as np
import pytest
from described import description_of
from scipy.stats import mannwhitneyu
from typer.testing import CliRunner

from entrypoints import rediscover as entry
from supervision.data.material_classes import members, related
from supervision.evaluation.rediscovery import rediscovery
from supervision.experiment.rediscovery import predict_class
from supervision.experiment.spec import Experiment, split_materials
from tracking import runs

RNG = np.random.default_rng(5)


def mask(*members, n):
    return np.isin(np.arange(n), members)


def test_ranks_equal_those_worked_out_by_hand():
    found = rediscovery(np.array([30.0, 1, 20, 5, 10, 2, 40]), mask(2, 3, 5, n=7))
    # others: 1, 10, 30, 40; members: 2 is above one of them, 5 above one, 20 above two
    assert (found.members, found.others) == (3, 4)
    assert found.best == 2
    assert found.best_percentile == 50
    assert found.median_percentile == 25
    assert found.best_by_chance == 75
    assert found.enrichment == 0  # the top 1% is one material, and that is no member
    assert found.highest_enrichment == pytest.approx(7 / 3)


def test_enrichment_counts_members_in_the_top_percent():
    score = np.arange(1000.0)
    found = rediscovery(score, mask(999, 998, 997, 500, 1, n=1000))
    # 3 of 10 in the top 1%, 5 of 1000 among all
    assert found.enrichment == pytest.approx(60)
    assert found.highest_enrichment == pytest.approx(100)  # 5 of 10


def test_share_that_is_the_top_can_be_chosen():
    found = rediscovery(np.arange(1000.0), mask(999, 950, 500, 400, n=1000), top_share=0.05)
    assert found.enrichment == pytest.approx((2 / 50) / (4 / 1000))


def test_families_are_ranked_by_their_highest_prediction():
    score = np.array([1.0, 9, 3, 8, 2, 7, 4])
    families = ["a", "a", "b", "b", "c", "d", "d"]
    found = rediscovery(score, mask(0, 1, 2, n=7), families)
    # members: a 9, b 3; others: b 8, c 2, d 7
    assert (found.members, found.others, found.best) == (2, 3, 1)
    assert found.best_percentile == 100
    assert found.median_percentile == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert found.enrichment == pytest.approx(5 / 2)


def test_more_members_of_one_series_change_nothing_if_families_are_ranked():
    score, member = RNG.exponential(10, 300), RNG.random(300) < 0.1
    families = [f"family {i}" for i in range(300)]
    series = np.flatnonzero(member)[0]
    more = rediscovery(
        np.append(score, [score[series] / 2] * 50),
        np.append(member, [True] * 50),
        families + [families[series]] * 50,
    )
    assert more == rediscovery(score, member, families) == rediscovery(score, member)


def test_class_above_all_others_has_the_highest_values():
    score = np.arange(300.0)
    found = rediscovery(score, score >= 290)
    assert found.best_percentile == found.median_percentile == 100
    assert found.enrichment == found.highest_enrichment == pytest.approx(30)


def test_class_below_all_others_has_the_lowest_values():
    found = rediscovery(np.arange(300.0), np.arange(300) < 10)
    assert found.best_percentile == found.median_percentile == found.enrichment == 0


def test_others_of_equal_prediction_count_half():
    found = rediscovery(np.array([5.0, 5, 5, 1, 9]), mask(0, n=5))
    assert found.best_percentile == 50  # one lower, two equal, one higher


def test_constant_prediction_is_chance_in_any_order():
    for found_at in (range(20), range(980, 1000)):
        found = rediscovery(np.full(1000, 7.3), mask(*found_at, n=1000))
        assert found.best_percentile == found.median_percentile == 50
        assert found.enrichment == pytest.approx(1)
        assert found.best == found_at[0]


def test_mean_percentile_of_single_members_is_the_mann_whitney_statistic():
    score = RNG.integers(0, 30, 200).astype(float)
    member = np.arange(200) < 40
    single = [
        rediscovery(np.append(score[~member], value), mask(160, n=161)).best_percentile
        for value in score[member]
    ]
    statistic = mannwhitneyu(score[member], score[~member]).statistic
    assert np.mean(single) / 100 == pytest.approx(statistic / (40 * 160))


def test_best_by_chance_is_the_mean_over_random_orders():
    member = np.arange(60) < 4
    found = [rediscovery(RNG.permutation(60), member) for _ in range(4000)]
    assert np.mean([f.best_percentile for f in found]) == pytest.approx(
        found[0].best_by_chance, abs=1
    )
    assert np.mean([f.median_percentile for f in found]) == pytest.approx(50, abs=1)
    assert np.mean([f.enrichment for f in found]) == pytest.approx(1, abs=0.2)


def test_order_of_the_materials_does_not_matter():
    score, member = RNG.integers(0, 50, 400).astype(float), RNG.random(400) < 0.1
    order = RNG.permutation(400)
    one, other = rediscovery(score, member), rediscovery(score[order], member[order])
    assert replace(one, best=0) == replace(other, best=0)
    assert score[one.best] == score[order][other.best]


def test_only_the_order_of_the_predictions_matters():
    score, member = RNG.exponential(10, 400), RNG.random(400) < 0.1
    assert rediscovery(score, member) == rediscovery(np.sqrt(score), member)


@pytest.mark.parametrize(
    ("score", "member", "message"),
    [
        ([1.0, 2.0], [True], "equal length"),
        ([[1.0, 2.0]], [[True, False]], "two vectors"),
        ([1.0, np.nan], [True, False], "tc_pred has 1 non-finite"),
        ([1.0, 2.0], [False, False], "got 0 and 2"),
        ([1.0, 2.0], [True, True], "got 2 and 0"),
        ([1.0, np.inf], [True, False], "tc_pred has 1 non-finite"),
        ([], [], "got 0 and 0"),
    ],
)
def test_invalid_input_is_refused(score, member, message):
    with pytest.raises(ValueError, match=message):
        rediscovery(np.array(score), np.array(member, dtype=bool))


# --- training without the class


class Recorder:
    """A model that remembers what it was fitted to, and predicts the median of it."""

    size: ClassVar = {}

    def __init__(self):
        self.learned = []

    def fit(self, train, val, **options):
        self.learned = [*train, *val]

    def predict(self, crystals):
        return np.full(len(crystals), np.median([m.tc for m in self.learned]))


@pytest.mark.slow
def test_no_model_learns_from_what_is_related_and_every_member_is_ranked():
    recorders = []

    def make_setup():
        recorders.append(Recorder())
        return SimpleNamespace(predictor=recorders[-1], model_family="composition")

    folds = [
        split_materials(Experiment(split="novel", folds=3, fold=fold), lambda _: [], lambda _: None)
        for fold in (1, 2, 3)
    ]
    found = predict_class(make_setup, folds, "a15")
    assert len(recorders) == 3
    for recorder, splits in zip(recorders, folds, strict=True):
        assert not related(recorder.learned, "a15").any()
        tested = {m.id for m in splits.part("test")}
        assert recorder.learned and not tested & {m.id for m in recorder.learned}
    everything = folds[0].materials
    assert sum(found.is_member) == members(everything, "a15").sum() > 5
    unrelated = ~related(everything, "a15") | members(everything, "a15")
    assert len(found.materials) == unrelated.sum()


@pytest.mark.slow
def test_the_command_writes_a_table_and_a_figure(own_store, tmp_path):
    options = ["--classes", "a15", "--models", "composition", "--folds", "2"]
    done = CliRunner().invoke(entry.app, [*options, "--out", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert "earlier run" not in done.output
    text = (tmp_path / "page.md").read_text()
    assert "| A15" in text and "a perfect model" in text
    assert (tmp_path / "page" / "rediscovery.png").read_bytes().startswith(b"\x89PNG")
    run = mlflow.search_runs(output_format="list", search_all_experiments=True)[0]
    description_of(run.info.run_id, "A15 compounds", "50 by chance", "rediscovery.html")
    table = runs.read_table(run.info.run_id, "rediscovery.csv")
    perfect = table[table["model"] == "a perfect model"].iloc[0]
    assert perfect["best_percentile"] >= table["best_percentile"].max() - 1e-9
    again = CliRunner().invoke(entry.app, [*options, "--out", str(tmp_path / "again.md")])
    assert "A15 compounds is taken from an earlier run" in again.output
    assert (tmp_path / "again.md").read_text() == text.replace("page/", "again/")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "hydride"], "class 'hydride' is not one of cuprate"),
        (["--models", "oracle"], "models: 'oracle' is not one of"),
        (["--models", ""], "models is empty"),
        (["--classes", "a15,a15"], "classes names a15 twice"),
        (["--folds", "1"], "folds must be 2 or more"),
        (["--out", "page.txt"], "must end in .md"),
    ],
)
def test_options_that_are_refused_are_named(own_store, options, message):
    done = CliRunner().invoke(entry.app, options)
    assert done.exit_code != 0
    assert message in " ".join(done.output.split())
