"""Rankings of materials and families, compared with scipy, scikit-learn, loops, values by hand."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from supervision.evaluation import discovery, metrics, ranking
from supervision.evaluation.bootstrap import resampled_counts

RNG = np.random.default_rng(11)
TC = np.round(RNG.exponential(12, 300), 1) * (RNG.random(300) > 0.3)
PRED = np.round(np.abs(TC + RNG.normal(0, 8, 300)), 1)  # with ties
OTHER = np.abs(TC + RNG.normal(0, 5, 300))
FAMILIES = np.array([f"family {i}" for i in (60 * RNG.random(300) ** 2).astype(int)])
# the materials of each family, in the order of appearance
MEMBERS = [np.flatnonzero(np.isin(FAMILIES, name)) for name in dict.fromkeys(FAMILIES)]
ONCE = np.ones((1, 300))


def by_family(values, function):
    return np.array([function(values[rows]) for rows in MEMBERS])


@pytest.fixture(scope="module")
def found():
    return discovery.all_discovery_metrics(TC, PRED, FAMILIES)


# --- statistics of rankings


@pytest.mark.parametrize("n", [2, 3, 10, 300])
def test_spearman_equals_that_of_scipy(n):
    value = ranking.spearman(TC[:n], PRED[:n], ONCE[:, :n])
    np.testing.assert_allclose(value, [spearmanr(TC[:n], PRED[:n]).statistic])


def test_spearman_with_counts_equals_that_of_repeated_items():
    counts = resampled_counts(300, 20, 0)
    repeated = [np.repeat(np.arange(300), row.astype(int)) for row in counts]
    expected = [spearmanr(TC[rows], PRED[rows]).statistic for rows in repeated]
    np.testing.assert_allclose(ranking.spearman(TC, PRED, counts), expected)


@pytest.mark.parametrize(
    ("one", "other"), [([1.0], [2.0]), ([0.1] * 3, [1, 2, 3]), ([1, 2, 3], [0.7] * 3)], ids=str
)
def test_spearman_of_a_constant_is_nan(one, other):
    value = ranking.spearman(np.array(one), np.array(other), np.ones((1, len(one))))
    assert math.isnan(value[0])


def test_average_precision_with_counts_equals_that_of_scikit_learn():
    counts = resampled_counts(300, 20, 1)
    expected = [average_precision_score(TC > 20, PRED, sample_weight=row) for row in counts]
    np.testing.assert_allclose(ranking.average_precision(TC > 20, PRED, counts), expected)


def test_average_precision_without_a_hit_is_nan():
    assert math.isnan(ranking.average_precision(TC > 500, PRED, ONCE)[0])


def test_a_constant_score_has_the_precision_of_chance():
    hits, score = TC > 20, np.full(300, 2.4)
    np.testing.assert_allclose(ranking.average_precision(hits, score, ONCE), [hits.mean()])
    for k in (1, 17, 300):
        np.testing.assert_allclose(ranking.top_precision(hits, score, ONCE, k), [hits.mean()])


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, 1), (2, 3 / 4), (3, 2 / 3), (4, 1 / 2), (5, 3 / 5)],
)
def test_top_precision_is_the_mean_over_orders_of_equal_scores(k, expected):
    """Scores 9 (hit), 5 (hit), 5 (no hit), 3 (no hit), 1 (hit)."""
    hits, score = np.array([0, 1, 1, 0, 1], bool), np.array([3.0, 1.0, 9.0, 5.0, 5.0])
    value = ranking.top_precision(hits, score, np.ones((1, 5)), k)
    np.testing.assert_allclose(value, [expected])


def test_top_precision_with_counts_equals_that_of_repeated_items():
    counts, score = resampled_counts(300, 20, 2), RNG.permutation(300).astype(float)
    for k in (1, 5, 40):
        expected = []
        for row in counts:
            repeated = np.repeat(np.arange(300), row.astype(int))
            expected.append((TC[repeated][np.argsort(-score[repeated])] > 20)[:k].mean())
        np.testing.assert_allclose(ranking.top_precision(TC > 20, score, counts, k), expected)


# --- metrics of a model


def test_rank_correlations_equal_those_of_scipy(found):
    assert found["spearman"] == pytest.approx(spearmanr(TC, PRED).statistic)
    means = [by_family(values, np.mean).round(9) for values in (TC, PRED)]  # equal ones are ties
    assert found["spearman_between"] == pytest.approx(spearmanr(*means).statistic)
    large = [rows for rows in MEMBERS if len(rows) >= 8]
    within = [spearmanr(TC[rows], PRED[rows]).statistic for rows in large]
    assert found["spearman_within"] == pytest.approx(np.mean(within))
    assert found["families_within"] == len(large) > 1


def test_rankings_of_families_equal_those_of_scikit_learn(found):
    highest, score = by_family(TC, np.max), by_family(PRED, np.max)
    assert found["families"] == len(MEMBERS)
    for threshold in (10, 20, 40):
        hits = highest > threshold
        assert found[f"ap_{threshold}"] == pytest.approx(average_precision_score(hits, score))
        assert found[f"prevalence_{threshold}"] == pytest.approx(hits.mean())


def test_errors_equal_those_of_the_metrics(found):
    assert found["macro_mae"] == pytest.approx(metrics.macro_mae(TC, PRED, FAMILIES))
    assert found["msle"] == pytest.approx(metrics.msle(TC, PRED))
    assert found["mae_positive"] == pytest.approx(metrics.mae(TC[TC > 0], PRED[TC > 0]))


def test_metrics_of_a_small_example():
    """Highest Tc 39, 5, 12 and 20 K, ranked second, third, first and last; top 1% is one family."""
    found = discovery.all_discovery_metrics(
        [39, 5, 0, 12, 20], [8, 4, 7, 9, 1], ["MgB2", "Nb", "Nb", "NbN", "Nb3Sn"]
    )
    assert found["prevalence_10"] == 3 / 4
    assert found["prevalence_20"] == 1 / 4  # 20 K is not over 20 K
    assert found["ap_20"] == 1 / 2
    assert found["ap_10"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert math.isnan(found["ap_40"])
    assert found["precision_top1pct_10"] == 1
    assert found["enrichment_top1pct_10"] == pytest.approx(4 / 3)
    assert found["enrichment_top5pct_20"] == 0
    assert math.isnan(found["enrichment_top1pct_40"])
    assert found["macro_mae"] == pytest.approx((31 + 4 + 3 + 19) / 4)
    assert math.isnan(found["spearman_within"])
    assert found["families_within"] == 0


def test_top_percents_are_of_the_families():
    """300 families of one material: 3 and 15 of them."""
    found = discovery.all_discovery_metrics(TC, TC + 1, np.arange(300))
    hot = np.sort(TC)[::-1]
    assert found["precision_top1pct_40"] == (hot[:3] > 40).mean()
    assert found["precision_top5pct_40"] == (hot[:15] > 40).mean()


def test_families_of_one_material_are_ranked_as_materials():
    found = discovery.all_discovery_metrics(TC, PRED, np.arange(300))
    assert found["spearman_between"] == pytest.approx(found["spearman"])
    assert found["ap_20"] == pytest.approx(average_precision_score(TC > 20, PRED))
    assert found["macro_mae"] == pytest.approx(metrics.mae(TC, PRED))
    assert math.isnan(found["spearman_within"])


def test_metrics_do_not_depend_on_the_order_of_materials(found):
    order = np.random.default_rng(3).permutation(300)
    other = discovery.all_discovery_metrics(TC[order], PRED[order], FAMILIES[order])
    assert other == pytest.approx(found, nan_ok=True)


def test_a_monotone_change_of_the_predictions_changes_no_ranking(found):
    cubed = discovery.all_discovery_metrics(TC, PRED**3 / 1000, FAMILIES)
    for name in found:
        if name.startswith(("spearman_w", "ap", "precision", "enrichment")) or name == "spearman":
            assert cubed[name] == pytest.approx(found[name])


def test_one_predicted_tc_for_all_has_no_rank_correlation_and_the_precision_of_chance():
    found = discovery.all_discovery_metrics(TC, np.full(300, 2.4), FAMILIES)
    for name in ("spearman", "spearman_between", "spearman_within"):
        assert math.isnan(found[name])
    assert found["ap_20"] == pytest.approx(found["prevalence_20"])
    assert found["enrichment_top5pct_20"] == pytest.approx(1)


def test_a_family_of_constant_tc_is_left_out_of_the_correlation_within_families():
    tc = np.concatenate([np.zeros(8), np.arange(8)])
    families = ["a"] * 8 + ["b"] * 8
    found = discovery.all_discovery_metrics(tc, np.arange(16), families)
    assert found["spearman_within"] == pytest.approx(1)
    assert found["families_within"] == 1


def test_one_material_has_errors_and_no_correlations():
    found = discovery.all_discovery_metrics([30.0], [5.0], ["a"])
    assert found["mae_positive"] == found["macro_mae"] == 25
    assert found["ap_20"] == 1
    assert math.isnan(found["spearman"])


# --- intervals and differences


def slow_draws(tc_pred, samples, seed):
    """All metrics on each resample, by a loop that repeats drawn families under new names."""
    rows = np.random.default_rng(seed).integers(0, len(MEMBERS), size=(samples, len(MEMBERS)))
    found = []
    for row in rows:
        members = [MEMBERS[i] for i in row]
        chosen = np.concatenate(members)
        copies = np.repeat(np.arange(len(row)), [len(m) for m in members])
        found.append(discovery.all_discovery_metrics(TC[chosen], tc_pred[chosen], copies))
    return found


def test_intervals_agree_with_a_loop_over_resampled_families():
    fast = discovery.discovery_intervals(TC, PRED, FAMILIES, samples=150, level=0.9, seed=2)
    slow = slow_draws(PRED, 150, 2)
    for name, interval in fast.items():
        draws = np.array([draw[name] for draw in slow])
        expected = np.percentile(draws[np.isfinite(draws)], [5, 95])
        assert interval == pytest.approx(tuple(expected)), name


def test_differences_agree_with_a_loop_over_resampled_families():
    fast = discovery.paired_discovery(TC, PRED, OTHER, FAMILIES, samples=150, seed=2)
    one, other = slow_draws(PRED, 150, 2), slow_draws(OTHER, 150, 2)
    for name, result in fast.items():
        gaps = np.array([a[name] - b[name] for a, b in zip(one, other, strict=True)])
        gaps = gaps[np.isfinite(gaps)].round(12)  # rounding can hide that two are equal
        expected = tuple(np.percentile(gaps, [2.5, 97.5]))
        assert (result["low"], result["high"]) == pytest.approx(expected, abs=1e-9), name
    gaps = np.array([a["spearman"] - b["spearman"] for a, b in zip(one, other, strict=True)])
    p = 2 * min((gaps > 0).mean(), (gaps < 0).mean())
    assert fast["spearman"]["p"] == pytest.approx(max(p, 1 / 150))


def test_intervals_contain_the_estimate(found):
    intervals = discovery.discovery_intervals(TC, PRED, FAMILIES)
    for name in ("spearman", "spearman_between", "spearman_within", "ap_20", "macro_mae", "msle"):
        low, high = intervals[name]
        assert low < found[name] < high


def test_comparison_is_symmetric_and_the_difference_is_that_of_the_metrics(found):
    one = discovery.paired_discovery(TC, PRED, OTHER, FAMILIES, samples=200)
    two = discovery.paired_discovery(TC, OTHER, PRED, FAMILIES, samples=200)
    other = discovery.all_discovery_metrics(TC, OTHER, FAMILIES)
    for name, result in one.items():
        assert result["difference"] == pytest.approx(found[name] - other[name])
        assert (two[name]["low"], two[name]["high"]) == pytest.approx(
            (-result["high"], -result["low"])
        )
        assert two[name]["p"] == result["p"]


def test_equal_predictions_have_no_difference():
    for result in discovery.paired_discovery(TC, PRED, PRED, FAMILIES, samples=50).values():
        assert result == {"difference": 0, "low": 0, "high": 0, "p": 1}


def test_a_clearly_better_ranking_is_significant():
    noise = np.random.default_rng(1).exponential(10, 300)
    found = discovery.paired_discovery(TC, OTHER, noise, FAMILIES)
    for name in ("spearman", "ap_20"):
        assert found[name]["low"] > 0
        assert found[name]["p"] == pytest.approx(1 / 2000)


def test_undefined_metrics_have_no_interval_and_no_difference():
    tc = np.minimum(TC, 30)
    low, high = discovery.discovery_intervals(tc, PRED, FAMILIES, samples=20)["ap_40"]
    assert math.isnan(low)
    assert math.isnan(high)
    result = discovery.paired_discovery(tc, PRED, OTHER, FAMILIES, samples=20)["ap_40"]
    assert all(math.isnan(value) for value in result.values())


@pytest.mark.parametrize(
    ("tc", "pred", "groups", "message"),
    [
        ([], [], [], "at least one"),
        ([1.0, 2.0], [1.0], ["a", "b"], r"\(2,\) and \(1,\)"),
        ([1.0, np.nan], [1.0, 2.0], ["a", "b"], "tc has 1 non-finite"),
        ([1.0, 2.0], [1.0, 2.0], ["a"], "one group for each of 2 materials"),
        ([1.0, 2.0], [1.0, -3.0], ["a", "b"], "-3 K has no log error"),
    ],
    ids=["empty", "lengths", "not finite", "groups", "negative"],
)
def test_invalid_input_is_refused(tc, pred, groups, message):
    for measure in (
        lambda: discovery.all_discovery_metrics(tc, pred, groups),
        lambda: discovery.discovery_intervals(tc, pred, groups, samples=5),
        lambda: discovery.paired_discovery(tc, pred, pred, groups, samples=5),
    ):
        with pytest.raises(ValueError, match=message):
            measure()
